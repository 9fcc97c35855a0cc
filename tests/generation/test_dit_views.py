"""Views by the trained network: saved and loaded, equal requests equal pictures, and what each request keeps."""

import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from skufp.artifacts.folder import read_json, write_json
from skufp.data.augment import foreground, paste, squared
from skufp.data.drafts import draft
from skufp.errors import UserError
from skufp.generation.dit import AUGMENTER_FILE, DiTViews, save_augmenter
from skufp.generation.request import Photo, ViewCondition, ViewRequest
from skufp.models.preprocessing import Preprocessing
from skufp.models.siglip import tiny_siglip
from skufp.models.view_sampler import ViewSampler
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
    save_augmenter(awake, SimpleNamespace(drafts=True), folder)
    return str(folder), str(encoder)


@pytest.fixture(scope="module")
def asleep(encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., DiTViews]:
    """A generator whose network was never trained: its paths are known."""
    module, folders = _augmenter(encoder, awake=False), {}
    for drafts in (True, False):
        folders[drafts] = tmp_path_factory.mktemp("asleep")
        save_augmenter(module, SimpleNamespace(drafts=drafts), folders[drafts])
    return lambda drafts=True, **settings: DiTViews(str(folders[drafts]), str(encoder), **settings)


def _photo(seed: int, height: int = 50, width: int = 40) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(40, 216, (4, 3, 3), np.uint8)
    return np.repeat(np.repeat(coarse, height // 4 + 1, axis=0), width // 3 + 1, axis=1)[:height, :width].copy()


def _request(seed: int = 0, photo: int = 0, like: str = "front", noise: float = 1.0, **more: Any) -> ViewRequest:
    about = {k: more.pop(k) for k in ("keep_garment", "clean") if k in more}
    return ViewRequest(_photo(photo), ViewCondition("any", **about), like, noise, seed, **more)


def _difference(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a.astype(float) - b).mean())


@pytest.mark.parametrize("elsewhere", [False, True])
def test_what_is_saved_draws_as_what_was_trained(folders: Folders, awake: Augmenter, elsewhere: bool) -> None:
    """In the source's own place, and in another layout, whose surroundings are put back."""
    views = DiTViews(*folders, steps=3, guidance=1.5, heun=True, temperature=0.9)
    assert (views.size, views.kinds, views.drafts) == (SIZE, ACTIONS, True)
    photo, layout = Photo(_photo(0), _mask(5, 40, 8, 30)), Photo(_photo(6, 60, 30), _mask(20, 55, 3, 20, 60, 30))
    source, around = (_pixels(p.picture, SIZE) for p in (photo, layout if elsewhere else photo))
    masks = [squared(p.mask, SIZE) for p in (photo, layout if elsewhere else photo)]
    drafted = draft(source, masks[0], around, masks[1])
    batch = {"source": source, "draft": drafted, "encoder_pixels": _pixels(photo.picture, 16)}
    batch = {name: torch.from_numpy(pixels[None]) for name, pixels in batch.items()} | {"view_kind": torch.tensor([2])}
    expected = awake.sample(batch, ViewSampler(3, 1.5, True, 0.9), seed=5, start=0.7)[0].permute(1, 2, 0).numpy()
    levels = ((expected + 1) * 127.5).round().astype(np.uint8)
    if elsewhere:
        levels = paste(levels, masks[1], squared(layout.picture, SIZE))
    more = {"mask": photo.mask, "layout": layout if elsewhere else None}
    drawn = views.draw([_request(seed=5, like="zoom", noise=0.7, **more)])[0]
    assert (drawn.shape, drawn.dtype) == ((SIZE, SIZE, 3), np.uint8)
    assert np.abs(drawn.astype(int) - levels).max() <= 1  # rounded


def _pixels(picture: np.ndarray, side: int) -> np.ndarray:
    return Preprocessing(side)(_pil(picture))


def _mask(top: int, bottom: int, left: int, right: int, height: int = 50, width: int = 40) -> np.ndarray:
    mask = np.zeros((height, width), np.float32)
    mask[top:bottom, left:right] = 1
    return mask


def _pil(picture: np.ndarray) -> Any:
    from PIL import Image

    return Image.fromarray(picture)


def _mixed() -> list[ViewRequest]:
    """Requests of every kind; the first and the last are equal."""
    mask = _mask(10, 30, 5, 25)
    layout = Photo(_photo(8, 60, 30), _mask(20, 55, 3, 20, 60, 30))
    return [
        _request(seed=1, photo=1), _request(seed=2, photo=1, noise=0.4), _request(seed=1, photo=2, like="back"),
        _request(seed=3, photo=3, keep_garment=True, mask=mask), _request(seed=4, photo=4, layout=layout),
        _request(seed=4, photo=4, toward=Photo(_photo(9, 30, 60)), mask=mask), _request(seed=1, photo=1),
    ]  # fmt: skip


@pytest.mark.parametrize("batch_size", [1, 2, 3])
def test_equal_requests_give_equal_pictures_whatever_is_drawn_beside_them(folders: Folders, batch_size: int) -> None:
    together = DiTViews(*folders, steps=3).draw(_mixed())
    apart = DiTViews(*folders, steps=3, batch_size=batch_size).draw(_mixed())
    for one, other in zip(together, apart, strict=True):  # sums in another order may round to the next grey level
        assert np.abs(one.astype(int) - other).max() <= 1
    assert np.abs(apart[0].astype(int) - apart[-1]).max() <= 1
    assert all(_difference(together[0], other) > 2 for other in together[1:6])


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
    picture, mask = _photo(3), _mask(8, 40, 6, 30)
    request = _request(seed=3, photo=3, keep_garment=True, mask=mask)
    drawn = DiTViews(*folders, steps=3).draw([request])[0]
    resized, held = squared(picture, SIZE), squared(mask, SIZE)
    assert (held == 1).sum() > 200
    assert np.array_equal(drawn[held == 1], resized[held == 1])
    assert _difference(drawn[held == 0], resized[held == 0]) > 10


def test_noise_says_how_far_a_view_strays_from_its_draft(asleep: Callable[..., DiTViews]) -> None:
    """Of normal changes (deviation d) about the draft, a path that starts at time t ends
    d t / sqrt((d (1 - t))² + t²) deviations of the noise from it."""
    grey = np.full((40, 40, 3), 128, np.uint8)
    for noise in (0.05, 0.2, 1.0):
        drawn = asleep(steps=15, heun=True).draw([ViewRequest(grey, ViewCondition("any"), "front", noise, 0)])[0]
        expected = 127.5 * 0.4 * noise / np.sqrt((0.4 * (1 - noise)) ** 2 + noise**2)
        assert (drawn.astype(float) - 128).std() == pytest.approx(expected, rel=0.06)


RED, BLUE, WHITE, STREET = (200, 30, 40), (40, 50, 190), (245, 245, 245), (90, 120, 60)
LOW, HIGH = (24, 44, 6, 34), (4, 30, 12, 28)
Colour = tuple[int, int, int]


def _boxed(garment: Colour, box: tuple[int, int, int, int], behind: Colour) -> Photo:
    """A rectangle of one colour before another, and its mask."""
    picture, mask = np.full((50, 40, 3), behind, np.uint8), _mask(*box)
    picture[mask == 1] = garment
    return Photo(picture, mask)


def test_the_garment_goes_where_the_layout_shows_its_own(asleep: Callable[..., DiTViews]) -> None:
    """Without noise an untrained network stays at the draft; with it, only within the layout's garment it strays."""
    source, layout = _boxed(RED, LOW, STREET), _boxed(BLUE, HIGH, WHITE)
    size, held = squared(layout.picture, SIZE), squared(layout.mask, SIZE)
    assert (held == 1).sum() > 150
    assert (held == 0).sum() > 500
    for temperature, most in ((0.0, 2), (1.0, 255)):
        request = ViewRequest(source.picture, ViewCondition("any"), "front", 1.0, 0, mask=source.mask, layout=layout)
        drawn = asleep(steps=12, temperature=temperature).draw([request])[0]
        assert np.array_equal(drawn[held == 0], size[held == 0])
        assert np.abs(drawn[held == 1].astype(int) - RED).max() <= most
    assert _difference(drawn[held == 1], np.full_like(drawn[held == 1], RED)) > 10  # of the last, which had noise


def test_a_layout_without_mask_is_known_by_its_even_background(asleep: Callable[..., DiTViews]) -> None:
    source, layout = _boxed(RED, LOW, WHITE), _boxed(BLUE, HIGH, WHITE)
    held = squared(foreground(layout.picture), SIZE)
    request = ViewRequest(source.picture, ViewCondition("any"), "front", 1.0, 0, layout=Photo(layout.picture))
    drawn = asleep(steps=2, temperature=0.0).draw([request])[0]
    assert np.array_equal(drawn[held == 0], squared(layout.picture, SIZE)[held == 0])
    assert np.abs(drawn[held == 1].astype(int) - RED).max() <= 2
    assert (held == 1).sum() > 60


def test_without_a_layout_all_of_the_picture_is_drawn(folders: Folders) -> None:
    source = _boxed(RED, LOW, STREET)
    drawn = DiTViews(*folders, steps=3).draw([
        ViewRequest(source.picture, ViewCondition("any"), "front", 1.0, 0, mask=source.mask)
    ])[0]  # fmt: skip
    outside = squared(source.mask, SIZE) == 0
    assert _difference(drawn[outside], squared(source.picture, SIZE)[outside]) > 10


def test_a_layout_changes_neither_what_keeps_its_garment_nor_a_counterfactual(folders: Folders) -> None:
    source, other = _boxed(RED, LOW, STREET), _boxed(BLUE, HIGH, WHITE)
    for about, toward in (
        (ViewCondition("any", keep_garment=True), None),
        (ViewCondition("any", toward="sibling"), other),
    ):
        plain, given = DiTViews(*folders, steps=2).draw([
            ViewRequest(source.picture, about, "front", 0.7, 0, mask=source.mask, toward=toward, layout=layout)
            for layout in (None, _boxed(BLUE, HIGH, WHITE))
        ])  # fmt: skip
        assert np.abs(plain.astype(int) - given).max() <= 1


@pytest.mark.parametrize("clean", [False, True])
def test_a_kept_garment_starts_from_it_before_another_background(asleep: Callable[..., DiTViews], clean: bool) -> None:
    """Without noise: another photo's colour behind the garment, or of a clean studio its even grey."""
    source = _boxed(RED, LOW, STREET)
    condition, others = ViewCondition("any", keep_garment=True, clean=clean), (np.full((30, 20, 3), 70, np.uint8),)
    request = ViewRequest(source.picture, condition, "front", 1.0, 0, mask=source.mask, others=others)
    drawn = asleep(steps=2, temperature=0.0).draw([request])[0]
    held = squared(source.mask, SIZE)
    assert np.array_equal(drawn[held == 1], squared(source.picture, SIZE)[held == 1])
    behind = drawn[held == 0].astype(int)
    assert behind.min() > 170 if clean else np.abs(behind - 70).max() <= 2


def test_a_counterfactual_is_the_other_sku_s_garment_in_the_source_s_place(asleep: Callable[..., DiTViews]) -> None:
    source, other = _boxed(RED, LOW, STREET), _boxed(BLUE, HIGH, WHITE)
    condition, picture, held = (
        ViewCondition("any", toward="sibling"),
        squared(source.picture, SIZE),
        squared(source.mask, SIZE),
    )
    for noise in (0.2, 1.0):
        request = ViewRequest(source.picture, condition, "front", noise, 0, mask=source.mask, toward=other)
        drawn = asleep(steps=4, temperature=0.0).draw([request])[0]
        assert np.array_equal(drawn[held == 0], picture[held == 0])
        assert np.abs(drawn[held == 1].astype(int) - BLUE).max() <= 2


def test_without_drafts_layouts_are_ignored_and_the_path_starts_from_the_source(
    asleep: Callable[..., DiTViews],
) -> None:
    source, layout = _boxed(RED, LOW, STREET), _boxed(BLUE, HIGH, WHITE)
    views = asleep(drafts=False, steps=4, temperature=0.0)
    assert views.drafts is False
    requests = [
        ViewRequest(source.picture, condition, "front", 0.5, 0, mask=source.mask, **more)
        for condition, more in (
            (ViewCondition("any"), {}),
            (ViewCondition("any"), {"layout": layout}),
            (ViewCondition("any", toward="nearest"), {"toward": layout}),
        )
    ]  # fmt: skip
    pixels = (_pixels(source.picture, SIZE).transpose(1, 2, 0) + 1) * 127.5  # as it was trained on
    for drawn in views.draw(requests):
        assert np.abs(drawn - pixels).max() <= 1
    noisy = asleep(drafts=False, steps=4).draw(requests[:2])
    assert np.abs(noisy[0].astype(int) - noisy[1]).max() <= 1
    outside = squared(layout.mask, SIZE) == 0
    assert _difference(noisy[1][outside], squared(layout.picture, SIZE)[outside]) > 10


@pytest.mark.parametrize(
    ("lost", "message"), [(True, "1 not in the file"), (False, r"1 unknown to the model \(other\)")]
)
def test_a_network_whose_weights_do_not_fit_is_refused(
    folders: Folders, tmp_path: Path, lost: bool, message: str
) -> None:
    """Diffusers would go on with a random one."""
    from safetensors.torch import load_file, save_file

    shutil.copytree(folders[0], tmp_path / "augmenter")
    file = next((tmp_path / "augmenter" / "dit").glob("*.safetensors"))
    weights = load_file(file)
    weights = {k: v for k, v in weights.items() if k != "out.bias"} if lost else weights | {"other": torch.zeros(1)}
    save_file(weights, file)
    with pytest.raises(UserError, match=rf"{message}.*stage=augmenter"):
        DiTViews(str(tmp_path / "augmenter"), folders[1])
