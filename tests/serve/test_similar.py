"""search_similar over a folder with a real encoder, against cosines computed one by one."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import faiss
import numpy as np
import pytest
import torch
from PIL import Image

from skufp import search_similar
from skufp.errors import UserError
from skufp.models.siglip import tiny_siglip
from skufp.modules.encoder_folder import load_encoder, save_encoder
from skufp.serve.similar import open_similar, write_similar

NAMES = ["a b.jpg", "shirts/Übung, 1.JPG", "裙子.png", "z.webp", "copy of z.webp"]


def _photo(seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 255, (24, 20, 3), np.uint8))


def _encode(encoder: Path, photo: Image.Image) -> np.ndarray:
    loaded = load_encoder(encoder)
    with torch.inference_mode():
        vector: np.ndarray = loaded.encode_image(torch.from_numpy(loaded.preprocessing(photo))[None])[0].numpy()
    return vector


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("encoder") / "encoder"
    save_encoder(tiny_siglip(16, 8, 16, 1, 2, 0), folder)
    return folder


@pytest.fixture(scope="module")
def vectors(encoder: Path) -> np.ndarray:
    return np.stack([_encode(encoder, _photo(seed)) for seed in (0, 1, 2, 3, 3)])


@pytest.fixture
def similar(tmp_path: Path, vectors: np.ndarray, encoder: Path) -> Path:
    write_similar(tmp_path / "similar", vectors, NAMES, encoder)
    return tmp_path / "similar"


def test_answers_are_the_best_cosines(similar: Path, vectors: np.ndarray, encoder: Path) -> None:
    photo = _photo(7)
    query = _encode(encoder, photo)
    expected = sorted(((float(sum(v * query)), name) for v, name in zip(vectors, NAMES, strict=True)), reverse=True)
    found = search_similar(photo, similar, top_k=3)
    assert [set(hit) for hit in found] == [{"filename", "score"}] * 3
    assert [hit["score"] for hit in found] == pytest.approx([score for score, _ in expected[:3]], abs=1e-5)
    assert all(isinstance(hit["score"], float) for hit in found)
    assert found[0]["filename"] in {name for score, name in expected if score > expected[0][0] - 1e-5}
    assert len(search_similar(photo, str(similar), top_k=99)) == len(NAMES)


def test_an_indexed_photo_finds_itself_and_its_copy(similar: Path, tmp_path: Path) -> None:
    _photo(3).save(tmp_path / "query ü.PNG")
    found = search_similar(tmp_path / "query ü.PNG", similar, 2)
    assert {hit["filename"] for hit in found} == {"z.webp", "copy of z.webp"}
    assert [hit["score"] for hit in found] == pytest.approx([1, 1], abs=1e-5)


def test_a_pillow_image_is_turned_upright_and_flattened(similar: Path, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn a quarter clockwise
    _photo(0).transpose(Image.Transpose.ROTATE_90).save(tmp_path / "lying.png", exif=exif)
    for query in (tmp_path / "lying.png", str(tmp_path / "lying.png"), Image.open(tmp_path / "lying.png")):
        found = search_similar(query, similar, 1)
        assert found == [{"filename": NAMES[0], "score": pytest.approx(1, abs=1e-5)}]
    clear = _photo(0).convert("RGBA")
    clear.putalpha(0)
    white = Image.new("RGB", clear.size, "white")
    assert search_similar(clear, similar, 5) == search_similar(white, similar, 5)


def test_the_files_are_readable_without_skufp(similar: Path, vectors: np.ndarray) -> None:
    index = faiss.read_index(str(similar / "faiss_index.bin"))
    assert isinstance(index, faiss.IndexFlatIP)
    assert np.array_equal(index.reconstruct_n(0, len(vectors)), vectors)
    stored = np.load(similar / "embeddings.npy")
    assert stored.dtype == np.float32
    assert np.array_equal(stored, vectors)
    assert json.loads((similar / "filenames.json").read_text(encoding="utf-8")) == NAMES


def test_loaded_once_and_again_when_laid_out_anew_or_moved(
    similar: Path, vectors: np.ndarray, encoder: Path, tmp_path: Path
) -> None:
    assert open_similar(similar) is open_similar(similar)
    write_similar(similar, vectors[:2], NAMES[:2], encoder)
    for path in similar.iterdir():
        os.utime(path, (1, 1))  # the clock may be coarse
    assert {hit["filename"] for hit in search_similar(_photo(3), similar)} == set(NAMES[:2])
    moved = Path(shutil.move(similar, tmp_path / "moved"))
    assert search_similar(_photo(0), moved, 1)[0]["filename"] == NAMES[0]


def test_what_is_wrong_is_said(similar: Path, vectors: np.ndarray, encoder: Path, tmp_path: Path) -> None:
    photo = _photo(0)
    with pytest.raises(UserError, match=r"no such folder.*stage=index aggregator=mean.*export_to="):
        search_similar(photo, tmp_path / "nowhere")
    with pytest.raises(UserError, match="at least one"):
        search_similar(photo, similar, 0)
    with pytest.raises(UserError, match="image file is missing"):
        search_similar(tmp_path / "no.jpg", similar)
    (tmp_path / "text.jpg").write_text("not a photo")
    with pytest.raises(UserError, match="not an image"):
        search_similar(tmp_path / "text.jpg", similar)
    write_similar(similar, vectors, NAMES[:-1], encoder)
    with pytest.raises(UserError, match="holds 5 vectors of 16 dimensions, but there are 4 file names"):
        search_similar(photo, similar)
    (similar / "faiss_index.bin").write_text("rubbish")
    with pytest.raises(UserError, match=r"faiss_index\.bin is no faiss index"):
        search_similar(photo, similar)
    (similar / "filenames.json").unlink()
    with pytest.raises(UserError, match=r"filenames\.json not there"):
        search_similar(photo, similar)


def test_another_encoder_is_refused(similar: Path) -> None:
    shutil.rmtree(similar / "encoder")
    save_encoder(tiny_siglip(16, 8, 16, 1, 2, 1), similar / "encoder")
    with pytest.raises(UserError, match="built with another encoder"):
        search_similar(_photo(0), similar)


def test_import_skufp_alone_stays_light() -> None:
    code = "import sys, skufp; print(sorted({'torch', 'numpy', 'faiss', 'PIL', 'hydra'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
    with pytest.raises(ImportError, match="search_similiar"):
        from skufp import search_similiar  # type: ignore[attr-defined]  # noqa: F401
