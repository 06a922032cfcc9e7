"""Words of the made-up world: categories with their topics, cities, and readable titles."""

from __future__ import annotations

import numpy as np

TOPICS = {
    "food": ("street food", "baking", "home cooking", "tea and coffee"),
    "travel": ("city walks", "mountains", "islands", "night trains"),
    "music": ("jazz", "folk songs", "piano", "live sets"),
    "sports": ("football", "running", "badminton", "climbing"),
    "tech": ("phones", "robots", "open source", "retro computers"),
    "pets": ("cats", "dogs", "aquariums", "birds"),
    "fashion": ("streetwear", "vintage", "make-up", "sneakers"),
    "comedy": ("sketches", "stand-up", "office jokes", "pranks"),
    "games": ("strategy", "speedruns", "board games", "indie games"),
    "science": ("space", "oceans", "chemistry", "maths"),
    "crafts": ("pottery", "woodwork", "knitting", "paper models"),
    "cars": ("road trips", "restoration", "racing", "electric cars"),
}
CATEGORIES = tuple(TOPICS)
TOPIC_NAMES = np.array([topic for topics in TOPICS.values() for topic in topics], dtype=object)
TOPIC_CATEGORY = np.array([c for c, topics in enumerate(TOPICS.values()) for _ in topics])
CITIES = (
    "Shanghai", "Beijing", "Guangzhou", "Shenzhen", "Chengdu", "Hangzhou", "Wuhan", "Xi'an", "Nanjing", "Chongqing",
)  # fmt: skip

_ADJECTIVES = (
    "Quiet Golden Hidden Little Silver Paper Distant Early Borrowed Crooked Gentle Open Northern Second Velvet Wild "
    "Hollow Bright Patient Secret Slow Copper Lucky Winter Summer Midnight Honest Broken Endless Green Painted Stray"
)
_NOUNS = (
    "Harbor Lantern Orchard Bridge River Corner Window Garden Market Station Rooftop Valley Kitchen Notebook Compass "
    "Meadow Island Workshop Staircase Courtyard Signal Kettle Feather Mirror Ladder Postcard Engine Thread Pocket Echo "
    "Railway Umbrella"
)
_LEADS = np.array([f"{adjective} {noun}" for adjective in _ADJECTIVES.split() for noun in _NOUNS.split()], dtype=object)


def titles(draw: np.ndarray, topics: np.ndarray) -> np.ndarray:
    """Titles such as "Quiet Harbor: street food" from uniform draws in [0, 1) and topic numbers."""
    return _LEADS[(draw * len(_LEADS)).astype(int)] + ": " + TOPIC_NAMES[topics]
