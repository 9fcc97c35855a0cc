"""Views by the trained network: saved and loaded, equal requests equal pictures, and what each request keeps."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from skufp.artifacts.folder import read_json, write_json
from skufp.errors import UserError
from skufp.generation.dit import AUGMENTER_FILE, DiTViews, save_augmenter
from skufp.generation.pictures import squared
from skufp.generation.request import Action, ViewRequest
from skufp.models.preprocessing import Preprocessing
from skufp.models.siglip import tiny_siglip
from skufp.models.translation import Sampler
from skufp.modules.augmenter import Augmenter
from skufp.modules.encoder_folder import save_encoder

SIZE = 32
ACTIONS = ["front", "back", "zoom"]
RECIPE = {"lr": 1e-3, "weight_decay": 0.0, "warmup": 0.1, "drop": {}, "gradient_checkpointing": False}
LATENTS = {"_target_": "skufp.models.cosines.Cosines"}
Folders = tuple[str, str]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("encoder")
    save_encoder(tiny_siglip(16, 8, 16, 1, 2), folder)
    return folder


def _augmenter(encoder: Path, awake: bool) -> Augmenter:
    """A network that predicts changes of deviation 0.4; ``awake`` gives its zero layers weights."""
    network = {"size": "tiny", "patch": 1, "predicts": "change"}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = Augmenter(network, LATENTS, ACTIONS, RECIPE, SIZE, 1, str(encoder)).eval()
        module.network.change.fill_(0.4)
        if awake:
            for parameter in module.network.parameters():
                parameter.data.add_(0.05 * torch.randn_like(parameter))
    return module


@pytest.fixture(scope="module")
def awake(encoder: Path) -> Augmenter:
    return _augmenter(encoder, awake=True)


@pytest.fixture(scope="module")
def folders(encoder: Path, awake: Augmenter, tmp_path_factory: pytest.TempPathFactory) -> Folders:
    """What stage=augmenter leaves of an awake network, and the encoder that it was trained with."""
    folder = tmp_path_factory.mktemp("augmenter")
    save_augmenter(awake, None, folder)
    return str(folder), str(encoder)


@pytest.fixture(scope="module")
def asleep(encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., DiTViews]:
    """A generator whose network was never trained: its paths are known."""
    folder = tmp_path_factory.mktemp("asleep")
    save_augmenter(_augmenter(encoder, awake=False), None, folder)
    return lambda **settings: DiTViews(str(folder), str(encoder), **settings)


def _photo(seed: int, height: int = 50, width: int = 40) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(40, 216, (4, 3, 3), np.uint8)
    return np.repeat(np.repeat(coarse, height // 4 + 1, axis=0), width // 3 + 1, axis=1)[:height, :width].copy()


def _request(seed: int = 0, photo: int = 0, like: str = "front", noise: float = 1.0, **more: Any) -> ViewRequest:
    about = {k: more.pop(k) for k in ("keep_garment", "clean") if k in more}
    return ViewRequest(_photo(photo), Action("any", **about), like, noise, seed, **more)


def _difference(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a.astype(float) - b).mean())


def test_what_is_saved_draws_as_what_was_trained(folders: Folders, awake: Augmenter) -> None:
    views = DiTViews(*folders, steps=3, guidance=1.5, heun=True, temperature=0.9)
    assert (views.size, views.actions) == (SIZE, ACTIONS)
    picture = _photo(0)
    pixels = [torch.from_numpy(Preprocessing(side)(_pil(picture))[None]) for side in (SIZE, 16)]
    batch = {"source": pixels[0], "encoder_pixels": pixels[1]}
    expected = awake.sample(batch, torch.tensor([2]), Sampler(3, 1.5, True, 0.9), seed=5)[0]
    drawn = views.draw([_request(seed=5, like="zoom")])[0]
    assert (drawn.shape, drawn.dtype) == ((SIZE, SIZE, 3), np.uint8)
    assert np.abs(drawn - ((expected.permute(1, 2, 0).numpy() + 1) * 127.5)).max() <= 0.51  # rounded


def _pil(picture: np.ndarray) -> Any:
    from PIL import Image

    return Image.fromarray(picture)


def _mixed() -> list[ViewRequest]:
    """Requests of every kind; the first and the last are equal."""
    mask = np.zeros((50, 40), np.float32)
    mask[10:30, 5:25] = 1
    return [
        _request(seed=1, photo=1), _request(seed=2, photo=1, noise=0.4), _request(seed=1, photo=2, like="back"),
        _request(seed=3, photo=3, keep_garment=True, mask=mask), _request(seed=4, photo=4, toward=_photo(9, 30, 60)),
        _request(seed=1, photo=1),
    ]  # fmt: skip


@pytest.mark.parametrize("batch_size", [1, 2, 3])
def test_equal_requests_give_equal_pictures_whatever_is_drawn_beside_them(folders: Folders, batch_size: int) -> None:
    together = DiTViews(*folders, steps=3).draw(_mixed())
    apart = DiTViews(*folders, steps=3, batch_size=batch_size).draw(_mixed())
    for one, other in zip(together, apart, strict=True):  # sums in another order may round to the next grey level
        assert np.abs(one.astype(int) - other).max() <= 1
    assert np.abs(apart[0].astype(int) - apart[-1]).max() <= 1
    assert all(_difference(together[0], other) > 2 for other in together[1:5])


def test_nothing_is_drawn_of_nothing(folders: Folders) -> None:
    assert DiTViews(*folders).draw([]) == []


def test_moving_returns_the_generator(folders: Folders) -> None:
    views = DiTViews(*folders, steps=1)
    assert views.to(torch.device("cpu")) is views


def test_another_encoder_is_refused(folders: Folders, tmp_path: Path) -> None:
    save_encoder(tiny_siglip(16, 8, 16, 1, 2, seed=1), tmp_path)
    with pytest.raises(UserError, match="trained with another encoder"):
        DiTViews(folders[0], str(tmp_path))


def test_an_unknown_kind_of_view_names_those_there_are(folders: Folders) -> None:
    with pytest.raises(UserError, match="the augmenter knows no 'flat', only front, back, zoom"):
        DiTViews(*folders, steps=1).draw([_request(like="flat")])


def test_weights_of_the_latent_space_that_are_gone_are_a_user_error(folders: Folders, tmp_path: Path) -> None:
    moved = tmp_path / "augmenter"
    shutil.copytree(folders[0], moved)
    about = read_json(moved / AUGMENTER_FILE)
    latents = {"_target_": "skufp.models.latents.Taef2", "pretrained": str(tmp_path / "gone")}
    write_json(moved / AUGMENTER_FILE, about | {"latents": latents})
    with pytest.raises(UserError, match=r"augmenter .*cannot be used: the weights of .*gone' cannot be had"):
        DiTViews(str(moved), folders[1])


def test_the_garment_is_the_source_s_where_it_is_kept(folders: Folders) -> None:
    picture, mask = _photo(3), np.zeros((50, 40), np.float32)
    mask[8:40, 6:30] = 1
    request = _request(seed=3, photo=3, keep_garment=True, mask=mask)
    drawn = DiTViews(*folders, steps=3).draw([request])[0]
    resized, held = squared(picture, SIZE), squared(mask, SIZE)
    assert (held == 1).sum() > 200
    assert np.array_equal(drawn[held == 1], resized[held == 1])
    assert _difference(drawn[held == 0], resized[held == 0]) > 10


def test_noise_says_how_far_a_view_strays_from_its_source(asleep: Callable[..., DiTViews]) -> None:
    """Of normal changes (deviation d) about the source, a path that starts at time t ends
    d t / sqrt((d (1 - t))² + t²) deviations of the noise from it."""
    grey = np.full((40, 40, 3), 128, np.uint8)
    for noise in (0.05, 0.2, 1.0):
        drawn = asleep(steps=15, heun=True).draw([ViewRequest(grey, Action("any"), "front", noise, 0)])[0]
        expected = 127.5 * 0.4 * noise / np.sqrt((0.4 * (1 - noise)) ** 2 + noise**2)
        assert (drawn.astype(float) - 128).std() == pytest.approx(expected, rel=0.06)


def test_a_counterfactual_leads_from_its_source_to_the_other_sku(asleep: Callable[..., DiTViews]) -> None:
    """Of normal changes (deviation d) about the other view, a path that starts at time t keeps a known share of what it
    began with: d (1 - t) / sqrt((d (1 - t))² + t²)."""
    source, other = (np.full((40, 40, 3), level, np.uint8) for level in (80, 160))
    views = asleep(steps=40, temperature=0.0)
    for noise, share in ((0.2, 0.848), (0.7, 0.169)):
        request = ViewRequest(source, Action("any", toward="sibling"), "front", noise, 0, toward=other)
        drawn = views.draw([request])[0].astype(float)
        assert drawn.mean() == pytest.approx(160 + share * (80 - 160), abs=2)


def test_a_counterfactual_of_little_noise_resembles_its_source_more_than_where_it_leads(folders: Folders) -> None:
    source, other = (squared(_photo(seed), SIZE) for seed in (4, 9))
    views = DiTViews(*folders, steps=8)
    near, plain = views.draw([
        _request(photo=4, noise=0.15, toward=_photo(9)), _request(photo=4, noise=0.15),
    ])  # fmt: skip
    assert _difference(near, source) < _difference(near, other)
    assert _difference(near, other) < _difference(plain, other)  # and yet it has begun to change
