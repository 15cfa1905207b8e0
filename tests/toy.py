"""The toy dataset: sixty passages about ten topics, questions that one passage answers, and rankings of them."""

from __future__ import annotations

import random

from rankstill.steps import STEPS

TOY_STEPS = tuple(step for step in STEPS if step != "multi_vector_distilled")
"""What a chain makes that trains no multi-vector retriever, as `toy_config` has it."""
TEST_QUERIES, TRAINING_QUERIES = 8, 24
PASSAGES_A_TOPIC = 6

# Two words of its own for each passage of a topic.
TOPICS = {
    "volcano": "magma crater lava ash basalt vent plume caldera pumice tephra fumarole cinder",
    "bridge": "cable arch girder truss pylon abutment pier deck rivet span anchor bearing",
    "bakery": "yeast dough flour oven crust gluten butter sugar starter loaf pastry glaze",
    "orchestra": "violin cello oboe trumpet timpani conductor score harp flute bassoon baton tuning",
    "desert": "dune cactus oasis camel scorpion mirage sandstorm drought gravel lizard nomad salt",
    "hospital": "nurse surgeon ward vaccine scalpel fever bandage ambulance biopsy insulin pulse clinic",
    "harbour": "tide crane container tugboat mooring buoy cargo dredger lighthouse pilot quay anchorage",
    "library": "catalogue shelf manuscript archive index borrower binding librarian folio atlas loan scroll",
    "glacier": "crevasse moraine meltwater snowpack iceberg icefall cirque fjord drift firn esker serac",
    "garden": "tulip compost hedge trellis seedling pruning mulch greenhouse earthworm rose pollen weed",
}


def passages() -> list[dict[str, str]]:
    """Sixty passages: six a topic, each about two words that no other passage is about."""
    made = []
    for topic, words in TOPICS.items():
        terms = words.split()
        for number in range(PASSAGES_A_TOPIC):
            own, partner = terms[2 * number], terms[2 * number + 1]
            other = terms[(2 * number + 5) % len(terms)]
            made.append(
                {
                    "_id": f"{topic}-{number}",
                    "title": f"The {own} of the {topic}",
                    "text": f"Every {topic} needs the {own} and the {partner} in equal measure. "
                    f"People who study the {topic} measure how the {own} changes with the {partner} each year. "
                    f"Where the {other} is missing, the {partner} of the {topic} slowly takes its place.",
                }
            )
    return made


def questions() -> list[dict[str, str]]:
    """Thirty-two queries; the id names the one passage that answers it."""
    chosen = random.Random(7).sample(passages(), TRAINING_QUERIES + TEST_QUERIES)
    return [
        {"_id": f"q-{passage['_id']}", "text": f"how does {passage['title'].lower().removeprefix('the ')} change"}
        for passage in chosen
    ]


def gold(query_id: str) -> str:
    """The passage that answers this toy query."""
    return query_id.removeprefix("q-")


def teach(query_id: str, draw: random.Random) -> dict[str, object]:
    """A ranking of five: the answer, then passages of its topic, then of others."""
    answer = gold(query_id)
    topic = answer.split("-")[0]
    ids = [passage["_id"] for passage in passages() if passage["_id"] != answer]
    near = draw.sample([each for each in ids if each.startswith(topic)], 2)
    far = draw.sample([each for each in ids if not each.startswith(topic)], 2)
    ranking = [answer, *near, *far]
    return {"query_id": query_id, "candidates": draw.sample(ranking, 5), "ranking": ranking, "teacher": "toy"}
