"""Latent spaces: ranges, scales and shifts by hand, what cannot be loaded, and what is frozen."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, AutoencoderTiny, VQModel
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from skufp.errors import UserError
from skufp.models.dct_pixels import DctPixels
from skufp.models.dual_encoder import WeightsMissingError
from skufp.models.latents import TAEF2_DEVIATION, Autoencoder, LatentSpace, Pixels, Taef2
from skufp.models.taef2 import TinyAutoencoder

WEIGHTS = "diffusion_pytorch_model.safetensors"


def _kl(blocks: int = 2, **settings: Any) -> AutoencoderKL:
    torch.manual_seed(0)
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * blocks, up_block_types=("UpDecoderBlock2D",) * blocks,
        block_out_channels=(8,) * blocks, norm_num_groups=4, latent_channels=3, **settings,
    ).eval()  # fmt: skip


def _tiny(**settings: Any) -> AutoencoderTiny:
    torch.manual_seed(0)
    return AutoencoderTiny(
        encoder_block_out_channels=(8, 8, 8), decoder_block_out_channels=(8, 8, 8), num_encoder_blocks=(1, 1, 1),
        num_decoder_blocks=(1, 1, 1), **settings,
    ).eval()  # fmt: skip


def _taef2(folder: Path) -> TinyAutoencoder:
    torch.manual_seed(0)
    model = TinyAutoencoder().eval()
    torch.save(model.encoder.state_dict(), folder / "taef2_encoder.pth")
    torch.save(model.decoder.state_dict(), folder / "taef2_decoder.pth")
    return model


def _pixels(side: int = 16) -> Tensor:
    return torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(1)) * 2 - 1


def _spaces(folder: Path) -> list[LatentSpace]:
    for name, model in (("kl", _kl()), ("tiny", _tiny())):
        model.save_pretrained(folder / name)
    _taef2(folder)
    return [Pixels(), Taef2(str(folder)), Autoencoder(str(folder / "kl")), Autoencoder(str(folder / "tiny"))]


def test_every_space_keeps_the_interface(tmp_path: Path) -> None:
    for space in [*_spaces(tmp_path), DctPixels()]:
        assert isinstance(space, LatentSpace)
        latents = space.encode(_pixels())
        assert latents.shape == (2, space.channels, 16 // space.factor, 16 // space.factor)
        pixels = space.decode(latents * 1000)
        assert pixels.shape == (2, 3, 16, 16)
        assert float(pixels.abs().max()) <= 1


def test_autoencoders_are_frozen_and_give_no_gradients(tmp_path: Path) -> None:
    for space in _spaces(tmp_path)[1:]:
        assert isinstance(space, nn.Module)
        assert not any(p.requires_grad for p in space.parameters())
        assert not any(m.training for m in space.modules())
        latents = space.encode(_pixels().requires_grad_())
        assert not latents.requires_grad
        assert not space.decode(latents.requires_grad_()).requires_grad


def test_pixels_are_themselves() -> None:
    pixels = _pixels()
    assert torch.equal(Pixels().encode(pixels), pixels)
    assert torch.equal(Pixels().decode(pixels), pixels)
    assert Pixels().decode(torch.tensor([-1.5, 0.5, 7.0])).tolist() == [-1.0, 0.5, 1.0]


def test_taef2_maps_the_range_and_scales(tmp_path: Path) -> None:
    model, space = _taef2(tmp_path), Taef2(str(tmp_path))
    with torch.no_grad():
        raw = model.encode((_pixels() + 1) / 2)
        torch.testing.assert_close(space.encode(_pixels()), raw / TAEF2_DEVIATION)
        expected = (model.decode(raw) * 2 - 1).clamp(-1, 1)
    torch.testing.assert_close(space.decode(raw / TAEF2_DEVIATION), expected)


def test_taef2_is_of_unit_scale_on_catalogue_photos(luma: Path) -> None:
    folder = luma.parents[1] / "models" / "taef2"
    if not folder.is_dir():
        pytest.skip(f"TAEF2's weights are not there: {folder}")
    annotations = sorted((luma / "validation" / "annos").glob("*.json"))
    shop = [f.stem for f in annotations if json.loads(f.read_text())["source"] == "shop"]
    pictures = [Image.open(luma / "validation" / "image" / f"{stem}.jpg").convert("RGB") for stem in shop[::5][:8]]
    pixels = torch.from_numpy(np.stack([np.asarray(p.resize((128, 128)), np.float32) for p in pictures]))
    latents = Taef2(str(folder)).encode(pixels.permute(0, 3, 1, 2) / 127.5 - 1)
    assert abs(float(latents.mean())) < 0.1
    assert 0.85 < float(latents.std()) < 1.15


def test_kl_gives_the_posterior_mean_shifted_and_scaled(tmp_path: Path) -> None:
    model = _kl(scaling_factor=0.5, shift_factor=0.25)
    model.save_pretrained(tmp_path)
    space = Autoencoder(str(tmp_path))
    with torch.no_grad():
        mean = model.encode(_pixels()).latent_dist.mean
        latents = space.encode(_pixels())
        torch.testing.assert_close(latents, (mean - 0.25) * 0.5)
        torch.testing.assert_close(space.decode(latents), model.decode(mean).sample.clamp(-1, 1))
    assert torch.equal(space.encode(_pixels()), latents)  # nothing is drawn


def test_kl_with_statistics_of_every_channel(tmp_path: Path) -> None:
    mean, deviation = (0.1, -0.2, 0.3), (0.5, 1.0, 2.0)
    model = _kl(scaling_factor=0.5, latents_mean=mean, latents_std=deviation)
    model.save_pretrained(tmp_path)
    space = Autoencoder(str(tmp_path))
    latents = space.encode(_pixels())
    with torch.no_grad():
        raw = model.encode(_pixels()).latent_dist.mean
        for channel in range(3):
            expected = (raw[:, channel] - mean[channel]) / deviation[channel]
            torch.testing.assert_close(latents[:, channel], expected)
        torch.testing.assert_close(space.decode(latents), model.decode(raw).sample.clamp(-1, 1))


def test_tiny_is_told_from_its_config(tmp_path: Path) -> None:
    model = _tiny(scaling_factor=2.0)
    model.save_pretrained(tmp_path)
    space = Autoencoder(str(tmp_path))
    with torch.no_grad():
        raw = model.encode(_pixels()).latents
        torch.testing.assert_close(space.encode(_pixels()), raw * 2)
        torch.testing.assert_close(space.decode(raw * 2), model.decode(raw).sample.clamp(-1, 1))


@pytest.mark.parametrize("blocks", [1, 2, 3])
def test_the_factor_doubles_with_every_level_but_the_first(tmp_path: Path, blocks: int) -> None:
    _kl(blocks).save_pretrained(tmp_path)
    space = Autoencoder(str(tmp_path))
    assert space.factor == 2 ** (blocks - 1)
    assert space.encode(_pixels()).shape == (2, 3, 16 // space.factor, 16 // space.factor)


def test_a_pipelines_autoencoder_lies_in_its_subfolder(tmp_path: Path) -> None:
    _kl().save_pretrained(tmp_path / "vae")
    assert Autoencoder(str(tmp_path), "vae").channels == 3
    with pytest.raises(WeightsMissingError, match=r"\+augmenter\.latents\.subfolder=vae"):
        Autoencoder(str(tmp_path))


def test_half_precision_weights_become_single(tmp_path: Path) -> None:
    _kl().half().save_pretrained(tmp_path)
    assert {p.dtype for p in Autoencoder(str(tmp_path)).parameters()} == {torch.float32}


@pytest.mark.parametrize("pretrained", ["nobody/nothing", "/nowhere/at/all"])
@pytest.mark.parametrize("space", [Taef2, Autoencoder])
def test_weights_that_cannot_be_had_name_the_setting(space: type[Taef2] | type[Autoencoder], pretrained: str) -> None:
    with pytest.raises(WeightsMissingError, match=rf"'{pretrained}' cannot be had.*augmenter\.pretrained=<folder>"):
        space(pretrained)


@pytest.mark.parametrize("content", [b"", b"version https://git-lfs.github.com/spec/v1"])
def test_broken_taef2_files_are_told(tmp_path: Path, content: bytes) -> None:
    _taef2(tmp_path)
    (tmp_path / "taef2_decoder.pth").write_bytes(content)
    with pytest.raises(WeightsMissingError) as raised:
        Taef2(str(tmp_path))
    assert "weights_only" not in str(raised.value)  # torch's advice is not for files of unknown origin


def test_taef2_files_of_another_network_are_told(tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 2).state_dict(), tmp_path / "taef2_encoder.pth")
    with pytest.raises(
        WeightsMissingError,
        match=r"not in the file \(0\.bias.*unknown to the model \(bias, weight\).*augmenter\.pretrained=",
    ):
        Taef2(str(tmp_path))


def test_weights_absent_from_a_file_are_told(tmp_path: Path) -> None:
    """Diffusers would go on with random ones."""
    _kl().save_pretrained(tmp_path)
    kept = {k: v for k, v in load_file(tmp_path / WEIGHTS).items() if k != "decoder.conv_out.bias"}
    save_file(kept, tmp_path / WEIGHTS)
    with pytest.raises(
        WeightsMissingError,
        match=r"1 not in the file \(decoder\.conv_out\.bias\)\. Give .*augmenter\.pretrained=<folder>",
    ):
        Autoencoder(str(tmp_path))


def test_weights_that_a_model_does_not_have_or_of_another_shape_are_told(tmp_path: Path) -> None:
    _kl().save_pretrained(tmp_path)
    right = load_file(tmp_path / WEIGHTS)
    save_file(right | {"stranger": torch.zeros(1)}, tmp_path / WEIGHTS)
    with pytest.raises(WeightsMissingError, match=r"1 unknown to the model \(stranger\)\. Give "):
        Autoencoder(str(tmp_path))
    save_file(right | {"decoder.conv_out.bias": torch.zeros(7)}, tmp_path / WEIGHTS)
    with pytest.raises(WeightsMissingError, match=r"1 of another shape \(decoder\.conv_out\.bias .*7"):
        Autoencoder(str(tmp_path))


def test_another_kind_of_autoencoder_is_refused(tmp_path: Path) -> None:
    VQModel(block_out_channels=(8,), norm_num_groups=4).save_pretrained(tmp_path)
    with pytest.raises(UserError, match=r"VQModel.*AutoencoderKL, AutoencoderTiny"):
        Autoencoder(str(tmp_path))
