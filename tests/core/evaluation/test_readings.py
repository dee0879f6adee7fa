"""The figures of a run as pages read them: of both databases, the same as from every cell one by one."""

import pytest

from core.domain.evaluation.run import Contestant, Plan
from core.errors import NotFound
from core.evaluation.verdict import brief, verdict
from core.statistics.proportions import wilson_interval
from tests.conftest import Open
from tests.core.evaluation import made


def answering(share: int):
    def answer(variables):
        at = int(str(variables["topic"]).rsplit(" ", 1)[1])
        if at == 7:
            raise ValueError("no paper")
        return {"text": "e" if at < share else "-", "cost_usd": "0.002"}

    return answer


def begun(open_manager: Open, url: str, *shares: int):
    mm = open_manager(url)
    functions = {f"f{at}": answering(share) for at, share in enumerate(shares)}
    dataset = mm.datasets.save("cases", made.rows(40))
    contestants = tuple(Contestant(position=0, function=name) for name in functions)
    checks = ({**made.CONTAINS, "metric": "vowel"},)
    plan = Plan(name="suite", dataset=dataset.ref, contestants=contestants, checks=checks)
    return mm, mm.evaluations.get(made.ended(mm, plan, functions=functions))


def test_sums_of_the_database_give_the_rates(open_manager: Open, database_url: str):
    mm, run = begun(open_manager, database_url, 30, 20)

    first, second = mm.evaluations.verdicts.rates(run)

    assert first.passes == pytest.approx(wilson_interval(29, 39))  # one failed with an error, which is no fail
    assert (second.contestant, second.n, second.n_cost) == (1, 39, 39)
    assert second.per_1000_usd == pytest.approx((2.0, 2.0, 2.0))
    assert mm.evaluations.verdicts.metrics(run) == ("pass", "vowel", "cost", "latency")


@pytest.mark.parametrize("metric", ["pass", "vowel", "cost", "latency"])
def test_a_metric_reads_what_it_needs(open_manager: Open, sqlite_url: str, metric: str):
    mm, run = begun(open_manager, sqlite_url, 30, 20)

    [none, found] = mm.evaluations.verdicts.all(run, mm.evaluations.verdicts.read(run, metric), metric=metric)

    whole = [mm.evaluations.cells(run.id, contestant=at) for at in (0, 1)]
    assert none is None and found == verdict(*whole, metric=metric, labels=("A", "B"))


def test_verdicts_of_one_run_are_one_family(open_manager: Open, sqlite_url: str):
    mm, run = begun(open_manager, sqlite_url, 30, 12, 29)
    verdicts = mm.evaluations.verdicts
    alone = verdicts.verdict(run.id, 1)

    found = verdicts.all(run, verdicts.read(run))

    assert found[1] is not None and found[1].comparison is not None and alone.comparison is not None
    assert found[1].comparison.p_value == pytest.approx(2 * alone.comparison.p_value)  # Holm: the smaller of two
    assert found[1].comparison.difference.lower < alone.comparison.difference.lower
    assert (
        brief(found).startswith("B worse: −46.2 points (−")
        and brief(found).endswith(")")
        and "; C undecided: " in brief(found)
    )
    with pytest.raises(NotFound):
        verdicts.all(run, verdicts.read(run), baseline=9)
