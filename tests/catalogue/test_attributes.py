import json
from typing import Any

import numpy as np
import pytest

from skufp.catalogue.attributes import Reader, calibrate, calibrate_probe, from_manifest, settle
from skufp.catalogue.facts import Value
from skufp.catalogue.probe import fit_probe
from skufp.catalogue.scoring import calibration_error, log_softmax, nll
from skufp.catalogue.vocabulary import Attribute, Category, Vocabulary
from skufp.errors import UserError

SPEC: dict[str, Any] = {
    "attributes": {
        "colour": {"also": ["color"], "values": {"red": {}, "navy": {}, "grey": {"also": ["gray"]}}},
        "fabric": {"also": ["material"], "values": {"cotton": {}, "wool": {}}},
    },
    "categories": {"top": {"attributes": ["colour", "fabric"]}},
}  # fmt: skip


@pytest.fixture
def top() -> Category:
    return Vocabulary.of(SPEC).category("top")


@pytest.fixture
def colour(top: Category) -> Attribute:
    return top.attribute("colour")


def drawn(rows: int, strength: float, seed: int) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """True log probabilities [N, 3] and labels drawn from them."""
    rng = np.random.default_rng(seed)
    truth = log_softmax(rng.normal(size=(rows, 3)) * strength)
    number = (truth + rng.gumbel(size=truth.shape)).argmax(axis=1)
    return truth, number, [("red", "navy", "grey")[i] for i in number]


def test_calibrated_confidence_is_the_share_that_is_right_and_the_threshold_holds(colour: Attribute):
    truth, _, labels = drawn(3000, 3.0, 0)
    reader = calibrate(colour, truth / 40, labels, precision=0.9)
    assert reader.temperature == pytest.approx(1 / 40, rel=0.1)
    fresh, fresh_number, _ = drawn(3000, 3.0, 1)
    said = reader.read(colour, fresh / 40)
    right = said.argmax(axis=1) == fresh_number
    assert calibration_error(np.exp(said.max(axis=1)), right) < 0.03
    accepted = reader.accept(colour, said)
    hits = [v.value == colour.values[n] for v, n in zip(accepted, fresh_number, strict=True) if v is not None]
    assert np.mean(hits) == pytest.approx(0.9, abs=0.03)
    assert 0.3 < len(hits) / 3000 < 1


def test_pixels_that_know_more_weigh_more_and_two_experts_beat_one(colour: Attribute):
    truth, number, labels = drawn(2000, 3.0, 2)
    rng = np.random.default_rng(3)
    prompts, pixels = truth + rng.normal(size=truth.shape) * 3, log_softmax(truth + rng.normal(size=truth.shape))
    reader = calibrate(colour, prompts, labels, 0.8, pixels)
    alone = calibrate(colour, prompts, labels, 0.8)
    assert reader.pixel_weight > 0.5
    right = (reader.read(colour, prompts, pixels).argmax(axis=1) == number).mean()
    assert right > (alone.read(colour, prompts).argmax(axis=1) == number).mean() + 0.05
    assert alone.pixel_weight == 0.0


def test_the_source_says_what_a_value_rests_on(colour: Attribute):
    said = np.log(np.array([[0.9, 0.05, 0.05], [0.05, 0.9, 0.05], [0.4, 0.3, 0.3], [np.nan] * 3]))
    pixels = np.log(np.array([[0.8, 0.1, 0.1], [0.8, 0.1, 0.1], [0.8, 0.1, 0.1], [0.8, 0.1, 0.1]]))
    accepted = Reader(pixel_weight=1.0).accept(colour, said, pixels)
    assert [v and (v.value, v.source) for v in accepted] == [("red", "pixels"), ("navy", "prompt"), None, None]
    assert [v and v.source for v in Reader().accept(colour, said, pixels)][:2] == ["prompt", "prompt"]


def test_a_probe_is_asked_instead_of_prompts_and_survives_json(colour: Attribute):
    rng = np.random.default_rng(0)
    number = np.arange(90) % 3
    embeddings = np.eye(3)[number] + rng.normal(size=(90, 3)) * 0.2
    labels, groups = [colour.values[i] for i in number], [str(i // 6) for i in range(90)]
    reader, left_out = calibrate_probe(colour, embeddings, labels, groups, 0.9)
    assert (left_out.argmax(axis=1) == number).mean() > 0.9
    again = Reader.from_dict(json.loads(json.dumps(reader.to_dict())))
    said = again.read(colour, embeddings=embeddings)
    assert np.allclose(said, reader.read(colour, embeddings=embeddings))
    assert {v.source for v in again.accept(colour, said) if v} == {"probe"}
    with pytest.raises(ValueError, match="needs embeddings"):
        again.read(colour, np.zeros((1, 3)))
    with pytest.raises(ValueError, match="needs prompt scores"):
        Reader().read(colour, embeddings=embeddings)


def learnt_by_heart(colour: Attribute, rows: int) -> tuple[np.ndarray, list[str], list[str]]:
    """Labels that nothing foretells, and a dimension for every product: a probe knows all that it learnt from."""
    number = np.random.default_rng(4).integers(0, 3, rows)
    return np.eye(rows), [colour.values[i] for i in number], [str(i) for i in range(rows)]


def test_a_probes_temperature_and_threshold_come_from_products_that_it_did_not_see(colour: Attribute) -> None:
    embeddings, labels, groups = learnt_by_heart(colour, 60)
    target = np.array([colour.values.index(label) for label in labels])
    reader, left_out = calibrate_probe(colour, embeddings, labels, groups, 0.8)
    assert reader.threshold == float("inf"), "of what the probe did not see it is right about a third"
    assert np.exp(left_out.max(axis=1)).mean() < 0.6
    fitted = fit_probe(embeddings, labels, groups, colour.values)
    by_temperature = {t: nll(log_softmax(fitted.left_out, t), target) for t in np.geomspace(0.05, 20, 200)}
    assert nll(log_softmax(fitted.left_out, 1 / reader.sharpness), target) <= min(by_temperature.values()) + 1e-6
    assert nll(left_out, target) == pytest.approx(min(by_temperature.values()), abs=1e-3)


def test_readers_that_never_accept_survive_json():
    never = Reader(threshold=float("inf"))
    assert Reader.from_dict(json.loads(json.dumps(never.to_dict()))) == never


def test_labels_outside_the_vocabulary_are_refused(colour: Attribute):
    with pytest.raises(UserError, match=r"no value 'nawy'.*'navy'"):
        calibrate(colour, np.zeros((1, 3)), ["nawy"], 0.8)
    with pytest.raises(UserError, match="no product has a label"):
        calibrate(colour, np.zeros((0, 3)), [], 0.8)


def test_a_manifest_s_columns_are_read_by_any_of_their_names(top: Category):
    found, unknown = from_manifest({"Color": "Gray", "material": "Elastane; Organic wool, Wool", "title": "x"}, top)
    assert found == {"colour": Value("grey", 1.0, "manifest"), "fabric": Value("wool", 1.0, "manifest")}
    assert unknown == {}
    found, unknown = from_manifest({"colour": "petrol", "fabric": " "}, top)
    assert (found, unknown) == ({}, {"colour": "petrol"})


def test_who_wins():
    evidence = {"colour": Value("red", 0.9, "prompt"), "fit": Value("slim", 0.8, "probe"), "sleeve": None,
                "fabric": Value("wool", 0.7, "prompt")}  # fmt: skip
    manifest = {"colour": Value("navy", 1.0, "manifest"), "length": Value("mini", 1.0, "manifest")}
    settled = settle(evidence, manifest, {"length": "maxi", "fit": "", "category": "dress"})
    assert settled == {
        "colour": Value("navy", 1.0, "manifest"), "fabric": Value("wool", 0.7, "prompt"),
        "length": Value("maxi", 1.0, "override"), "category": Value("dress", 1.0, "override"),
    }  # fmt: skip
