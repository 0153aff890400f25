"""Our own paraphrases of LIBERO's instructions, for the language tasks of the stand-ins.

Upstream's sentences are of four classes, in a random order of numbers: the instruction as a request, inside a context
that does not matter, with synonyms, and with things described by look or use in place of their names. Ours are of the
same classes, in turn. A base task has thirteen sentences of each, all different: the fifty-two numbers of upstream's
files, which end at fifty.
"""

from __future__ import annotations

import re
from itertools import product

CLASSES = ("request", "context", "synonyms", "description")
PER_CLASS = 13

REQUESTS = (
    "when you have a moment {}",
    "your task is to {}",
    "go ahead and {}",
    "be so good as to {}",
    "i would be glad to see you {}",
    "may i ask you to {}",
    "what you have to do is {}",
    "try to {} if you can",
    "what i want from you is to {}",
    "your job for now is to {}",
    "do me the kindness to {}",
    "robot {} and then stop",
    "{} that is all i ask of you",
)
CONTEXTS = (
    "the window is open and it is cold in here but first {}",
    "while i answer the phone {}",
    "my sister comes to visit this evening so {}",
    "do not mind the loud radio just {}",
    "i am still looking for my glasses meanwhile {}",
    "we have to leave in ten minutes so {} and ignore everything else",
    "it is your turn today so {}",
    "{} and after that we will water the flowers",
    "{} because the cat keeps walking over everything",
    "the floor was cleaned a minute ago so be careful and {}",
    "it has been raining all day and i am bored so {}",
    "{} before the neighbours arrive for coffee",
    "forget what i said about the laundry and {}",
)

_VERBS = {
    "close it": ("shut it", "push it shut", "see that it is shut"),
    "open": ("pull open", "slide open", "draw out", "slide out"),
    "pick up": ("grab", "lift", "take hold of", "get hold of"),
    "place": ("lay", "set down", "deposit", "leave"),
    "push": ("shove", "slide", "move", "nudge"),
    "put": ("lay", "set", "deposit", "leave"),
    "turn on": ("switch on", "start up", "fire up", "power up"),
}

_THINGS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "alphabet soup": (
        ("letter soup", "noodle soup", "tinned soup"),
        ("tin of broth with pasta letters", "starter in which you can spell words", "can of broth for children"),
    ),
    "back compartment": (
        ("rear compartment", "back section", "rear slot"),
        ("slot that is farthest from the front", "last part behind the others", "space at the far side"),
    ),
    "basket": (
        ("hamper", "wicker basket", "open carrier"),
        ("container in which shopping is carried", "carrier without a lid for groceries", "big open box for food"),
    ),
    "bbq sauce": (
        ("barbecue sauce", "grill sauce", "smoky sauce"),
        ("bottle of brown sauce for grilled meat", "thick smoky dip for ribs", "sauce for a summer cookout"),
    ),
    "black bowl": (
        ("dark bowl", "black basin", "dark dish"),
        ("deep round dish as dark as coal", "round vessel for cereal in the colour of night", "dark hollow tableware"),
    ),
    "book": (
        ("volume", "paperback", "hardback"),
        ("thing with pages that is read", "bundle of printed sheets between covers", "object that a library lends"),
    ),
    "bottom drawer": (
        ("lowest drawer", "lower drawer", "drawer at the bottom"),
        ("sliding box nearest to the table", "lowest sliding tray", "pull out box below the other two"),
    ),
    "bowl": (
        ("basin", "deep dish", "round dish"),
        ("hollow tableware for cereal", "round vessel from which soup is eaten", "deep vessel for salad"),
    ),
    "butter": (
        ("pack of butter", "stick of butter", "block of butter"),
        ("yellow dairy spread for bread", "fat that is churned from cream", "dairy block that melts on toast"),
    ),
    "cabinet": (
        ("cupboard", "chest of drawers", "dresser"),
        ("furniture with three sliding boxes", "box shaped furniture for storage", "piece of furniture with handles"),
    ),
    "caddy": (
        ("organizer", "desk tidy", "holder"),
        ("divided box that keeps a desk in order", "box with several slots", "stand for things on a desk"),
    ),
    "chocolate pudding": (
        ("cocoa pudding", "chocolate dessert", "pudding box"),
        ("box of brown sweet dessert", "sweet course made of cocoa and milk", "small pack for a creamy dessert"),
    ),
    "cookie box": (
        ("box of cookies", "biscuit box", "cookie carton"),
        ("carton of baked sweets", "pack of crunchy snacks", "flat box with things for tea time"),
    ),
    "cream cheese": (
        ("soft cheese", "cheese spread", "fresh cheese"),
        ("white dairy spread for bagels", "small pack of soft white dairy food", "main ingredient of a cheesecake"),
    ),
    "cream cheese box": (
        ("soft cheese box", "box of cheese spread", "fresh cheese pack"),
        ("carton of white dairy spread", "small box of spread for bagels", "pack with what a cheesecake is made of"),
    ),
    "ketchup": (
        ("catsup", "ketchup bottle", "red sauce"),
        ("red condiment for fries", "bottle of sweet red sauce", "what people squeeze on a hot dog"),
    ),
    "left plate": (
        ("plate on the left", "plate at the left side", "left dish"),
        ("flat round tableware on the left", "left one of the two flat discs", "flat thing for eating at the left"),
    ),
    "microwave": (
        ("microwave oven", "small oven", "microwave cooker"),
        ("appliance that heats food with waves", "box with a door that warms up meals", "quick electric food heater"),
    ),
    "middle drawer": (
        ("central drawer", "second drawer", "drawer in the middle"),
        ("sliding box between the other two", "second sliding tray", "pull out box at medium height"),
    ),
    "milk": (
        ("milk carton", "carton of milk", "dairy drink"),
        ("white drink from cows", "carton with what is poured over cereal", "white liquid for coffee"),
    ),
    "moka pot": (
        ("espresso pot", "coffee pot", "coffee maker"),
        ("metal jug in which coffee is brewed", "italian device for a strong morning drink", "silver jug for coffee"),
    ),
    "moka pots": (
        ("espresso pots", "coffee pots", "coffee makers"),
        ("metal jugs in which coffee is brewed", "italian devices for a strong drink", "silver jugs for coffee"),
    ),
    "orange juice": (
        ("juice carton", "carton of orange juice", "orange drink"),
        ("drink made of citrus fruit", "breakfast drink that is full of vitamins", "carton of pressed fruit"),
    ),
    "plate": (
        ("platter", "flat dish", "dinner plate"),
        ("flat round tableware", "flat disc from which dinner is eaten", "white disc for serving food"),
    ),
    "rack": (
        ("bottle rack", "stand", "wine holder"),
        ("wooden frame in which bottles lie", "frame that stores drinks", "wooden holder with curved bars"),
    ),
    "ramekin": (
        ("small baking dish", "souffle dish", "little pot"),
        ("small white cup for baking", "little round form for desserts", "small ceramic pot for the oven"),
    ),
    "right plate": (
        ("plate on the right", "plate at the right side", "right dish"),
        ("flat round tableware on the right", "right one of the two flat discs", "flat thing for eating at the right"),
    ),
    "salad dressing": (
        ("vinaigrette", "dressing", "bottle of dressing"),
        ("sauce that is poured over lettuce", "bottle of sauce for green leaves", "what makes a salad tasty"),
    ),
    "stove": (
        ("hob", "cooking plate", "hot plate", "range"),
        (
            "appliance on which pots are heated",
            "flat device with a burner",
            "place where water is boiled",
            "kitchen device that gets hot",
        ),
    ),
    "table center": (
        ("the centre of the tabletop", "the middle of the table", "the midpoint of the table"),
        ("the spot halfway between all edges", "the place where a vase would stand", "the inner part of the surface"),
    ),
    "tomato sauce": (
        ("pasta sauce", "tinned tomato sauce", "marinara sauce"),
        ("red sauce for spaghetti", "can of crushed red fruit for pizza", "tin with what goes on pasta"),
    ),
    "top drawer": (
        ("highest drawer", "upper drawer", "drawer at the top"),
        ("sliding box farthest from the table", "highest sliding tray", "pull out box above the other two"),
    ),
    "white mug": (
        ("white cup", "white coffee cup", "pale mug"),
        ("snow coloured cup with a handle", "drinking vessel without any colour", "vessel for tea as white as milk"),
    ),
    "wine bottle": (
        ("bottle of wine", "bottle", "wine flask"),
        ("green glass vessel with a cork", "glass vessel with a drink made of grapes", "tall vessel from a vineyard"),
    ),
    "wooden cabinet": (
        ("timber cabinet", "wooden cupboard", "wooden dresser"),
        ("brown furniture with three sliding boxes", "storage furniture made of planks", "brown box with handles"),
    ),
    "yellow and white mug": (
        ("yellow white cup", "two coloured mug", "mug in yellow and white"),
        ("cup with a handle and a sunny rim", "vessel for tea in two colours", "pale cup with a part like a lemon"),
    ),
}
"""Thing in an instruction -> synonyms, and descriptions."""

_WORDS = re.compile(rf"\b({'|'.join(sorted([*_VERBS, *_THINGS], key=len, reverse=True))})\b")


def class_of(number: int) -> str:
    """The class, one of :data:`CLASSES`, of a sentence's number."""
    return CLASSES[(number - 1) % len(CLASSES)]


def paraphrase(instruction: str, number: int) -> str:
    """A paraphrase of an instruction, in lower case and without punctuation.

    Args:
        instruction: LIBERO's instruction of a base task.
        number: 1 to ``len(CLASSES) * PER_CLASS``.
    """
    kind, which = class_of(number), (number - 1) // len(CLASSES)
    if kind == "request":
        return REQUESTS[which].format(instruction)
    if kind == "context":
        return CONTEXTS[which].format(instruction)
    column = 0 if kind == "synonyms" else 1
    parts = _WORDS.split(instruction)  # the words to replace are at the odd positions
    choices = [_VERBS[word] if word in _VERBS else _THINGS[word][column] for word in parts[1::2]]
    combinations = list(product(*choices))
    parts[1::2] = combinations[which * len(combinations) // PER_CLASS]
    return "".join(parts)
