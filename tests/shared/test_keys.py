"""The names of keys: other releases and people who look into Redis know them."""

from shared.contract import keys
from shared.contract.jobs import QueueName
from shared.contract.kinds import Kind


def test_the_names_of_keys() -> None:
    assert keys.ranking(Kind.SUGGESTED, 7) == ("movierec:user:7", "suggested")
    assert keys.ranking(Kind.SIMILAR, 7) == ("movierec:movie:7", "similar")
    assert keys.claim(Kind.SUGGESTED, 7) == "movierec:claim:suggested:7"
    assert keys.claim(Kind.SIMILAR, 8) == "movierec:claim:similar:8"
    assert keys.asked(Kind.SIMILAR, 7) == "similar:7"
    assert keys.workers(QueueName.SERVE) == "movierec:workers:serve"
    assert keys.worker("0a1b") == "movierec:worker:0a1b"


def test_what_is_warmed_is_noted_for_each_model_and_data() -> None:
    notes = {keys.warming(version, data) for version in ("v1", "v2") for data in ("d1", "d2")}
    assert len(notes) == 4
    assert all(note.startswith("movierec:warming:v") for note in notes)
