"""Folders that earlier code saved still open: their files name classes by their modules, which may have moved since.

saved/similar_3de7a07.zip was written by write_similar as it was at 3de7a07: three photos, an encoder of width 8.
"""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import skufp
from skufp import search_similar
from skufp.artifacts.folder import read_json
from skufp.errors import UserError
from skufp.models.dual_encoder import fingerprint
from skufp.modules.encoder_folder import ENCODER_FILE, encoder_marks, load_encoder
from skufp.serve.parts import MissingPartError

SAVED = Path(__file__).with_name("saved") / "similar_3de7a07.zip"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.unpack_archive(SAVED, tmp_path)
    return tmp_path / "similar"


@pytest.fixture
def photo() -> Image.Image:
    """The first of the three."""
    pixels = np.random.default_rng(0).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(np.kron(pixels, np.ones((4, 4, 1), np.uint8)))


def test_a_similar_folder_of_3de7a07_answers_as_it_did(folder: Path, photo: Image.Image) -> None:
    found = search_similar(photo, folder, top_k=3)
    assert [hit["filename"] for hit in found] == ["0.jpg", "2.jpg", "1.jpg"]
    assert [hit["score"] for hit in found] == pytest.approx([1.0, 0.942357, 0.440860], abs=1e-4)


def test_a_similar_folder_of_3de7a07_opens_through_the_door_of_bundles(folder: Path, photo: Image.Image) -> None:
    bundle = skufp.open(folder)
    assert set(bundle.capabilities) == {"encoder", "index", "skus"}
    found = bundle.search(image=photo, top_k=3)
    assert [(hit.sku, hit.score) for hit in found] == [
        (hit["filename"], hit["score"]) for hit in search_similar(photo, folder, 3)
    ]
    with pytest.raises(MissingPartError, match="the part 'views'"):
        _ = found[0].thumbnail


@pytest.mark.parametrize("name", ["filenames.json", "encoder.json", "encoder/config.json", "faiss_index.bin"])
def test_a_damaged_similar_folder_says_how_to_lay_it_out_again(folder: Path, photo: Image.Image, name: str) -> None:
    (folder / name).write_bytes(b"\xff" * 20)
    with pytest.raises(UserError, match=r"Lay it out: python -m skufp|is no faiss index"):
        search_similar(photo, folder, 1)


def test_an_encoder_of_3de7a07_opens_with_the_marks_that_it_had(folder: Path) -> None:
    encoder = load_encoder(folder / "encoder")
    assert read_json(folder / "encoder" / ENCODER_FILE)["_target_"] == "skufp.models.siglip.SiglipEncoder"
    assert encoder_marks(folder / "encoder") == {
        "fingerprint": fingerprint(encoder, encoder.preprocessing),
        "preprocessing": encoder.preprocessing.fingerprint,
    }
