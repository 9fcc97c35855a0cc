import torch

from skufp.models.dct_pixels import DctPixels


def test_nothing_is_lost_and_lengths_are_kept():
    pixels = torch.rand(2, 3, 16, 24) * 2 - 1
    space = DctPixels(8)
    latents = space.encode(pixels)
    assert latents.shape == (2, 192, 2, 3)
    torch.testing.assert_close(latents.square().sum(), pixels.square().sum())
    torch.testing.assert_close(space.decode(latents), pixels)


def test_an_even_colour_is_in_the_first_channel_of_its_colour_alone():
    pixels = torch.zeros(1, 3, 4, 4)
    pixels[:, 1] = 0.5
    latents = DctPixels(4).encode(pixels).flatten()
    expected = torch.zeros(48)
    expected[16] = 0.5 * 4
    torch.testing.assert_close(latents, expected)


def test_white_noise_stays_white_noise():
    noise = torch.randn(64, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    latents = DctPixels(8).encode(noise)
    assert abs(float(latents.std()) - 1) < 0.01
    assert abs(float(latents[:, 0].std()) - float(latents[:, 63].std())) < 0.15
