"""Sixty support tickets that the simulated models sort, well or badly: for a first evaluation without a key.

The chance of a right answer depends on the model, on what the prompt says and on the ticket, and the draw on the seed:
prompts differ truly, item by item, and the same request always gets the same answer.
"""

import math
import random
from typing import NamedTuple

from core.domain.generation import Request

TEAMS = ("billing", "shipping", "returns", "account", "technical")
_TEXTS = {
    "billing": (
        "I was charged twice for order 4417.",
        "Why is there a fee of 3.50 on my invoice?",
        "My card was declined although there is money on it.",
        "Please send the invoice for March to our accountant.",
        "The voucher was accepted, but the total did not change.",
        "Can I pay by bank transfer next month?",
        "The VAT number on my bill is wrong.",
        "You took the yearly price, I chose the monthly one.",
        "Where do I see what I have paid so far?",
        "My bank says the payment was reversed.",
        "Two topics: the refund has not arrived, and the parcel is late too.",
        "Two topics: I cannot log in to see why the price went up.",
    ),
    "shipping": (
        "My parcel has been in the same city for five days.",
        "Can you deliver to a parcel station?",
        "The courier says nobody was at home. I was.",
        "I need the order by Friday, is that possible?",
        "The tracking number does not exist.",
        "Please change the street: we moved last week.",
        "Do you ship to Norway?",
        "Half of the order came, where is the rest?",
        "The neighbour has my parcel, but which one?",
        "Can I pick the order up at your store?",
        "Two topics: the parcel is late, and the app crashes when I track it.",
        "Two topics: wrong address on the label and on the invoice.",
    ),
    "returns": (
        "The shoes are too small, I want to send them back.",
        "How long do I have to return a gift?",
        "I sent it back two weeks ago and heard nothing.",
        "The label for the return will not print.",
        "May I exchange the blue one for a green one?",
        "The box is damaged, can I still return it?",
        "Who pays for sending it back?",
        "I opened the package, is it too late to return it?",
        "You refused my return, why?",
        "Where do I hand in the return parcel?",
        "Two topics: I return the lamp, and the refund should go to another card.",
        "Two topics: exchange the size, and deliver to my office this time.",
    ),
    "account": (
        "I forgot my password and the e-mail does not come.",
        "Please delete everything you know about me.",
        "How do I change my e-mail address?",
        "Somebody else uses my account.",
        "I want to stop the newsletter.",
        "My name is spelled wrong in the profile.",
        "The code for signing in arrives an hour late.",
        "Can two people share one account?",
        "I was logged out on all devices.",
        "Please merge my two accounts.",
        "Two topics: my account is locked and an order is on its way.",
        "Two topics: change my e-mail, and send the old invoices there.",
    ),
    "technical": (
        "The app closes as soon as I open the camera.",
        "Your page stays white in my browser.",
        "The device does not find my network.",
        "Error 5012 when I save a picture.",
        "After the update the sound is gone.",
        "The search shows nothing at all.",
        "It gets hot and then switches off.",
        "The export has no umlauts.",
        "Your API answers 500 since noon.",
        "The battery lasts two hours, not ten.",
        "Two topics: the app crashes at checkout, and I was charged anyway.",
        "Two topics: the device is broken and I want another one.",
    ),
}
_SKILL = {"sim-fast": -0.6, "sim-balanced": 0.6, "sim-careful": 1.4}
_RULES, _EXAMPLES = ("rules:", "rule:"), ("example:", "examples:", "for example")


class Ticket(NamedTuple):
    """A ticket with the team that it is for. tag: `two topics` or `one topic`."""

    text: str
    team: str
    tag: str


TICKETS = tuple(
    Ticket(text, team, "two topics" if text.startswith("Two topics") else "one topic")
    for team, texts in _TEXTS.items()
    for text in texts
)


def sorted_by(request: Request) -> str | None:
    """The answer of a simulated model to a prompt that holds one of the tickets; None = it holds none."""
    prompt = request.prompt
    ticket = next((each for each in TICKETS if each.text in prompt), None)
    if ticket is None:
        return None
    told = f"{request.system or ''}\n{prompt.replace(ticket.text, '')}".lower()
    settings = f"{request.parameters.seed}|{request.parameters.temperature}"
    draw = random.Random(f"{request.model}|{ticket.text}|{settings}")
    is_right = draw.random() < _chance(ticket, request.model, told)
    team = ticket.team if is_right else draw.choice([each for each in TEAMS if each != ticket.team])
    return team if "one word" in told else f"This is for the {team} team."


def _chance(ticket: Ticket, model: str, told: str) -> float:
    """The chance of the right team. Rules help with plain tickets and mislead where there are two topics."""
    difficulty = random.Random(ticket.text).gauss(0.0, 1.3)
    luck = random.Random(f"{told}|{ticket.text}").gauss(0.0, 0.8)  # prompts that are as good are so item by item
    has_rules, has_examples = (any(word in told for word in words) for words in (_RULES, _EXAMPLES))
    score = _SKILL.get(model, 0.0) - difficulty + luck + 0.8 * has_examples
    score += has_rules * (2.2 if ticket.tag == "one topic" else -1.0)
    return 1 / (1 + math.exp(-score))
