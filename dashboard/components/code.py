"""A call as code that does the same."""

import json

from core.domain.generation import Generation


def as_curl(g: Generation, base_url: str) -> str:
    body = {"prompt": g.messages[-1].text if g.messages else "", "model": g.model}
    if g.system:
        body["system"] = g.system
    text = json.dumps({**body, **g.parameters.as_dict()}, ensure_ascii=False, indent=2).replace("'", "'\\''")
    return f"curl {base_url}/api/generate \\\n  -H 'Content-Type: application/json' \\\n  -d '{text}'"


def as_python(g: Generation) -> str:
    arguments = [repr(g.messages[-1].text if g.messages else ""), f"model={g.model!r}"]
    if g.system:
        arguments.append(f"system={g.system!r}")
    arguments += [f"{name}={value!r}" for name, value in g.parameters.as_dict().items()]
    inside = ",\n        ".join(arguments)
    return (
        "from core import ModelManager\n\nwith ModelManager.open() as mm:\n"
        f"    generation = mm.generate(\n        {inside},\n    )\n    print(generation.text, generation.cost_usd)"
    )
