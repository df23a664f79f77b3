import pytest
from hypothesis import given
from hypothesis import strategies as st

from distilbert.tasks.entities import Entity, entities, entity_scores, split_tag

TAGS = st.lists(st.sampled_from(["O", *(f"{p}-{t}" for p in "BIES" for t in ("X", "Y"))]))


def starts(before, tag):
    """The tests that conlleval makes, one after the other."""
    (p, a), (q, b) = split_tag(before), split_tag(tag)
    return (
        (p == "B" and q == "B") or (p == "I" and q == "B")
        or (p == "O" and q == "B") or (p == "O" and q == "I")
        or (p == "E" and q == "E") or (p == "E" and q == "I")
        or (p == "E" and q == "B") or (p == "O" and q == "E")
        or (q != "O" and a != b)
        or q == "S" or (p == "S" and q != "O")
    )  # fmt: skip


@given(TAGS)
def test_entities_start_where_conlleval_starts_them(sentence):
    padded = ["O", *sentence]
    begun = [i for i in range(len(sentence)) if starts(padded[i], padded[i + 1])]
    found = entities(sentence)
    assert [each.start for each in found] == begun
    for each in found:
        assert {split_tag(tag)[1] for tag in sentence[each.start : each.end]} == {each.type}
    inside = {i for each in found for i in range(each.start, each.end)}
    assert inside == {i for i, tag in enumerate(sentence) if tag != "O"}


@pytest.mark.parametrize(
    "sentence",
    [
        ["I-P", "I-P", "B-P", "O", "I-L", "O"],  # IOB1
        ["B-P", "I-P", "B-P", "O", "B-L", "O"],  # IOB2
        ["B-P", "E-P", "S-P", "O", "S-L", "O"],  # IOBES
    ],
)
def test_every_scheme_says_the_same(sentence):
    assert entities(sentence) == [Entity("P", 0, 2), Entity("P", 2, 3), Entity("L", 4, 5)]


def test_types_without_prefix_and_with_hyphens():
    assert entities(["PER", "PER", "O", "B-art-work", "I-art-work"]) == [
        Entity("PER", 0, 2),
        Entity("art-work", 3, 5),
    ]


def test_scores_by_hand():
    labels = [["B-PER", "I-PER", "O", "B-LOC"], ["B-ORG", "O"]]
    predictions = [["B-PER", "I-PER", "O", "B-ORG"], ["B-ORG", "B-LOC"]]
    overall, by_type = entity_scores(predictions, labels)
    assert overall == (2 / 4, 2 / 3, 4 / 7, 3, 4)
    assert by_type["PER"] == (1, 1, 1, 1, 1)
    assert by_type["LOC"] == (0, 0, 0, 1, 1)
    assert by_type["ORG"] == (1 / 2, 1, 2 / 3, 1, 2)
    assert list(by_type) == ["LOC", "ORG", "PER"]


def test_a_type_may_be_on_one_side_only():
    _, by_type = entity_scores([["B-PER", "O"]], [["O", "B-LOC"]])
    assert by_type == {"LOC": (0, 0, 0, 1, 0), "PER": (0, 0, 0, 0, 1)}


def test_a_part_of_an_entity_is_wrong():
    assert entity_scores([["B-PER", "O"]], [["B-PER", "I-PER"]])[0].f1 == 0


def test_no_entities_at_all():
    assert entity_scores([["O"]], [["O"]]) == ((0, 0, 0, 0, 0), {})


def test_lengths_must_agree():
    with pytest.raises(ValueError, match="1 sentences of predictions and 2"):
        entity_scores([["O"]], [["O"], ["O"]])
    with pytest.raises(ValueError, match="sentence 1 has 2 labels and 1 predictions"):
        entity_scores([["O"], ["O"]], [["O"], ["O", "O"]])
