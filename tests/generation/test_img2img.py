"""Image-to-image views through a real, tiny Stable Diffusion pipeline of random weights, saved to disk and loaded."""

import importlib.util
import json
import math
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from skufp.errors import UserError
from skufp.generation.img2img import Img2ImgViews, _settings, _strength
from skufp.generation.request import Photo, ViewCondition, ViewRequest

SIZE = 16
PROMPTS = {"front": "a {category} from the front", "background": "a photo in a street", "sibling": "blue"}


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pipeline whose autoencoder hands pixels through almost unchanged: only the diffusion moves the picture."""
    from diffusers import AutoencoderTiny, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    folder = tmp_path_factory.mktemp("pipeline")
    tokenizer = _letters(folder)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        unet = UNet2DConditionModel(
            sample_size=SIZE, block_out_channels=(8, 16), layers_per_block=1, cross_attention_dim=16,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"), attention_head_dim=8, norm_num_groups=4,
        )  # fmt: skip
        text = CLIPTextConfig(
            vocab_size=len(tokenizer), hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
            bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=0,
        )  # fmt: skip
        text_encoder = CLIPTextModel(text)
    vae = AutoencoderTiny(
        encoder_block_out_channels=(4,), decoder_block_out_channels=(4,), num_encoder_blocks=(1,),
        num_decoder_blocks=(1,),
    )  # fmt: skip
    _hand_through(vae)
    scheduler = DDIMScheduler(clip_sample=False, set_alpha_to_one=False, steps_offset=1)
    pipe = StableDiffusionPipeline(vae, text_encoder, tokenizer, unet, scheduler, None, None, None, False)
    pipe.save_pretrained(folder / "tiny")
    return folder / "tiny"


def _letters(folder: Path) -> Any:
    """A CLIP tokenizer that knows letters alone."""
    from transformers import CLIPTokenizer

    letters = "abcdefghijklmnopqrstuvwxyz"
    tokens = ["<|startoftext|>", "<|endoftext|>", *letters, *(f"{letter}</w>" for letter in letters)]
    (folder / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(tokens)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return CLIPTokenizer(vocab=str(folder / "vocab.json"), merges=str(folder / "merges.txt"), model_max_length=77)


def _hand_through(vae: torch.nn.Module) -> None:
    """Make a one-level AutoencoderTiny the identity, but for its tanh: blocks of zeros, other convolutions Dirac's."""
    from diffusers.models.autoencoders.vae import AutoencoderTinyBlock

    for module in vae.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.dirac_(module.weight)
            if module.bias is not None:
                torch.nn.init.zeros_(module.bias)
    for block in (m for m in vae.modules() if isinstance(m, AutoencoderTinyBlock)):
        for parameter in block.conv.parameters():
            torch.nn.init.zeros_(parameter)


@pytest.fixture(scope="module")
def views(pipeline: Path) -> Img2ImgViews:
    return _views(pipeline)


def _views(pipeline: Path, **settings: Any) -> Img2ImgViews:
    return Img2ImgViews(str(pipeline), PROMPTS, **{"size": SIZE, "steps": 10, "guidance": 3.0, **settings})


def _photo(seed: int) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), np.uint8)
    return cv2.resize(coarse, (SIZE, SIZE), interpolation=cv2.INTER_LINEAR)


def _request(seed: int, noise: float = 0.5, condition: ViewCondition | None = None, **more: Any) -> ViewRequest:
    picture = more.pop("picture", _photo(seed))
    return ViewRequest(picture, condition or ViewCondition("front"), "front", noise, seed, **more)


def _distance(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a.astype(int) - b).mean())


def test_pictures_come_square_and_in_order(views: Img2ImgViews) -> None:
    requests = [_request(i, noise, picture=_photo(i)[:9]) for i, noise in enumerate((0.1, 0.9, 0.1, 0.5, 0.1))]
    pictures = views.draw(requests)
    assert all((p.shape, p.dtype) == ((SIZE, SIZE, 3), np.uint8) for p in pictures)
    for request, picture in zip(requests, pictures, strict=True):  # noises are drawn apart, and come back in order
        assert np.array_equal(picture, views.draw([request])[0])


def test_a_request_gives_the_same_picture_in_any_batch(views: Img2ImgViews) -> None:
    assert views.batch_size == 4
    wanted = _request(7)
    alone = views.draw([wanted])[0]
    for place, count in ((0, 2), (3, 4), (4, 6)):
        batch = [_request(20 + i) for i in range(count)]
        batch[place] = wanted
        assert np.array_equal(views.draw(batch)[place], alone)


def test_a_sampled_latent_is_the_requests_own(pipeline: Path) -> None:
    from diffusers import AutoencoderKL

    views = _views(pipeline)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        vae = AutoencoderKL(latent_channels=4, block_out_channels=(4,), norm_num_groups=2)
    views.pipe.register_modules(vae=vae.eval())  # unlike AutoencoderTiny, it draws its latents
    alone = views.draw([_request(7)])[0]
    assert np.array_equal(views.draw([_request(8), _request(9), _request(7)])[2], alone)
    assert not np.array_equal(views.draw([_request(8, picture=_photo(7))])[0], alone)


def test_seed_category_and_condition_each_change_the_picture(views: Img2ImgViews) -> None:
    picture = _photo(0)
    base, other_seed, other_category, other_condition = views.draw([
        _request(1, 1.0, picture=picture),
        _request(2, 1.0, picture=picture),
        _request(1, 1.0, picture=picture, category="skirt"),
        _request(1, 1.0, ViewCondition("background"), picture=picture),
    ])  # fmt: skip
    assert _distance(base, other_seed) > 1
    assert not np.array_equal(base, other_category)
    assert not np.array_equal(base, other_condition)


def test_no_category_reads_as_garment(views: Img2ImgViews) -> None:
    unnamed, named = views.draw([_request(1), _request(1, category="garment")])
    assert np.array_equal(unnamed, named)


def test_the_less_noise_the_nearer_to_the_source(views: Img2ImgViews) -> None:
    near, middle, far = (
        np.mean([_distance(p, _photo(i)) for i, p in enumerate(views.draw([_request(i, noise) for i in range(4)]))])
        for noise in (0.1, 0.5, 1.0)
    )
    assert near < middle < far
    assert near < 15


def test_noise_of_nothing_still_takes_one_step(views: Img2ImgViews) -> None:
    nothing, one_step = views.draw([_request(1, 0.0), _request(1, 0.1)])
    assert np.array_equal(nothing, one_step)


@pytest.mark.parametrize("of", [1, 7, 30, 49, 50])
def test_strength_means_the_asked_number_of_steps(of: int) -> None:
    for steps in range(1, of + 1):
        strength = _strength(steps, of)
        assert int(of * strength) == steps  # what the pipelines compute
        assert math.isclose(strength, steps / of)
        assert strength <= 1


def test_keep_garment_leaves_the_garments_pixels(views: Img2ImgViews) -> None:
    mask = np.zeros((SIZE, SIZE), np.float32)
    mask[4:12, 5:11] = 1
    request = _request(3, 0.8, ViewCondition("background", keep_garment=True), mask=mask)
    out = views.draw([request])[0]
    assert np.array_equal(out[mask == 1], request.picture[mask == 1])
    assert _distance(out[mask == 0], request.picture[mask == 0]) > 5


def test_a_clean_background_is_even_and_needs_no_prompt(views: Img2ImgViews) -> None:
    mask = np.zeros((SIZE, SIZE), np.float32)
    mask[4:12, 5:11] = 1
    request = _request(3, 0.8, ViewCondition("clean", keep_garment=True, clean=True), mask=mask)
    out = views.draw([request])[0]
    assert np.array_equal(out[mask == 1], request.picture[mask == 1])
    assert len(np.unique(out[mask == 0], axis=0)) == 1


def test_a_counterfactual_starts_from_its_source(views: Img2ImgViews) -> None:
    source, other = _photo(1), 255 - _photo(1)
    condition = ViewCondition("sibling", toward="sibling")
    out = views.draw([ViewRequest(source, condition, "front", 0.1, 0, toward=Photo(other))])[0]
    assert _distance(out, source) < _distance(out, other)


def test_a_negative_prompt_is_told_to_the_pipeline(pipeline: Path, views: Img2ImgViews) -> None:
    told = _views(pipeline, negative_prompt="blurred")
    assert not np.array_equal(told.draw([_request(1, 1.0)])[0], views.draw([_request(1, 1.0)])[0])


def test_a_missing_pipeline_says_what_to_type(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"'.*nowhere' cannot be had .*views\.generator\.pretrained=<folder>"):
        _views(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"model_index\.json"):
        _views(tmp_path)


def test_a_condition_without_a_prompt_names_the_nearest(views: Img2ImgViews) -> None:
    expected = (
        r"no prompt for the view condition 'frnt'. Did you mean 'front'\? Give views\.generator\.prompts\.frnt=<text>"
    )
    with pytest.raises(UserError, match=expected):
        views.draw([_request(1, condition=ViewCondition("frnt"))])


@pytest.mark.parametrize("prompt", ["a {colour} top", "a {} top", "a {category top"])
def test_a_prompt_with_another_name_in_it_is_refused_before_anything_loads(prompt: str) -> None:
    with pytest.raises(UserError, match=r"prompt of 'front' cannot be filled in.*\{category\} is the only name"):
        Img2ImgViews("nowhere", {"front": prompt})


@pytest.mark.parametrize("settings", [{"steps": 0}, {"batch_size": 0}, {"dtype": "float"}])
def test_settings_that_mean_nothing_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"views\.generator needs size, steps and batch_size"):
        Img2ImgViews("nowhere", PROMPTS, **settings)


def test_a_pipeline_that_cannot_do_what_is_asked_is_refused() -> None:
    from diffusers import FluxKontextPipeline, LatentConsistencyModelImg2ImgPipeline

    edits, short = (object.__new__(kind) for kind in (FluxKontextPipeline, LatentConsistencyModelImg2ImgPipeline))
    with pytest.raises(UserError, match=r"'some/model' is a FluxKontextPipeline: .* takes a strength"):
        _settings(edits, "some/model", SIZE, 10, 3.0, None)
    with pytest.raises(UserError, match=r"Set views\.generator\.negative_prompt=null"):
        _settings(short, "some/model", SIZE, 10, 3.0, "blurred")
    assert _settings(short, "some/model", SIZE, 10, 3.0, "") == {"num_inference_steps": 10, "guidance_scale": 3.0}


@pytest.mark.skipif(importlib.util.find_spec("peft") is not None, reason="peft is installed")
def test_a_lora_without_peft_says_what_to_install(pipeline: Path) -> None:
    with pytest.raises(UserError, match="pip install peft"):
        _views(pipeline, lora="some/lora")


def _save_lora(pipeline: Path, folder: Path, scale: float) -> Path:
    """A LoRA on the network's attention; with ``scale`` 0 it adds nothing."""
    from diffusers import StableDiffusionPipeline
    from peft import LoraConfig
    from peft.utils import get_peft_model_state_dict

    pipe = StableDiffusionPipeline.from_pretrained(pipeline)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        pipe.unet.add_adapter(LoraConfig(r=2, lora_alpha=2, target_modules=["to_q", "to_v"]))
        weights = get_peft_model_state_dict(pipe.unet)
        weights = {k: torch.randn_like(v) * (scale if "lora_B" in k else 1) for k, v in weights.items()}
    StableDiffusionPipeline.save_lora_weights(folder, unet_lora_layers=weights)
    return folder


def test_a_lora_changes_the_picture_by_what_it_adds(pipeline: Path, views: Img2ImgViews, tmp_path: Path) -> None:
    pytest.importorskip("peft")
    request = _request(1, 1.0)
    plain = views.draw([request])[0]
    nothing, something = (
        _views(pipeline, lora=str(_save_lora(pipeline, tmp_path / str(scale), scale))).draw([request])[0]
        for scale in (0.0, 3.0)
    )
    assert np.array_equal(nothing, plain)
    assert not np.array_equal(something, plain)


def test_a_lora_that_is_missing_or_fits_nothing_is_refused(pipeline: Path, tmp_path: Path) -> None:
    pytest.importorskip("peft")
    from safetensors.torch import save_file

    with pytest.raises(UserError, match=r"views\.generator\.lora=<path>"):
        _views(pipeline, lora=str(tmp_path / "nowhere"))
    other = tmp_path / "other.safetensors"
    save_file(
        {"transformer.x.lora_A.weight": torch.zeros(2, 4), "transformer.x.lora_B.weight": torch.zeros(4, 2)}, other
    )
    with pytest.raises(UserError, match="fits no part of this StableDiffusionImg2ImgPipeline"):
        _views(pipeline, lora=str(other))


def test_a_lora_of_which_a_part_has_no_place_is_refused(pipeline: Path, tmp_path: Path) -> None:
    """Diffusers drops the part and says so in a log line."""
    pytest.importorskip("peft")
    from safetensors.torch import load_file, save_file

    file = next(_save_lora(pipeline, tmp_path / "lora", 3.0).glob("*.safetensors"))
    weights = load_file(file)
    generator = torch.Generator().manual_seed(0)
    stranger = "unet.mid_block.attentions.7.transformer_blocks.0.attn1.to_q.lora_{}.weight"
    shapes = {"A": (2, 16), "B": (16, 2)}
    more = {stranger.format(part): torch.randn(shape, generator=generator) for part, shape in shapes.items()}
    both = tmp_path / "both.safetensors"
    save_file(weights | more, both)
    with pytest.raises(UserError, match=r"2 unknown to the model \(unet\.mid_block\.attentions\.7.*generator\.lora="):
        _views(pipeline, lora=str(both))


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder"])
def test_a_pipeline_one_of_whose_weights_is_missing_is_refused(pipeline: Path, tmp_path: Path, part: str) -> None:
    """Diffusers and transformers would go on with random ones."""
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "tiny"
    shutil.copytree(pipeline, folder)
    file = next((folder / part).glob("*.safetensors"))
    weights = load_file(file)
    lost = sorted(weights)[0]
    save_file({name: value for name, value in weights.items() if name != lost}, file)
    with pytest.raises(
        UserError, match=rf"tiny/{part}' do not fit the model: 1 not in the file .*generator\.pretrained="
    ):
        _views(folder)
