# SPDX-License-Identifier: Apache-2.0
"""Image tokeniser: a convolutional autoencoder to few spatial latent tokens a frame."""
from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wm_ros.world_model.video.config import VideoConfig


class Residual(nn.Module):
    """Two 3x3 convolutions beside the identity."""

    def __init__(self, channels: int):
        super().__init__()
        self.a = nn.Conv2d(channels, channels, 3, padding=1)
        self.b = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.b.weight)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.b(F.silu(self.a(F.silu(x))))


class Tokeniser(nn.Module):
    """(B, 3, 96, 96) in [-1, 1] <-> (B, 36, C) latents of about unit variance.

    A linear path a patch, set to the data's principal components by :meth:`fit_linear`, and
    convolutions beside it that add what a linear map misses.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, config: VideoConfig):
        super().__init__()
        c, z = config.tokeniser_conv, config.latent_channels
        self.side = config.latent_side
        self.encoder = nn.Sequential(
            nn.Conv2d(3, c, 4, 4), Residual(c),
            nn.Conv2d(c, 2 * c, 2, 2), Residual(2 * c),
            nn.Conv2d(2 * c, 4 * c, 2, 2), Residual(4 * c), nn.SiLU(), nn.Conv2d(4 * c, z, 1))
        self.decoder = nn.Sequential(
            nn.Conv2d(z, 4 * c, 1), Residual(4 * c), Residual(4 * c),
            nn.ConvTranspose2d(4 * c, 2 * c, 2, 2), Residual(2 * c),
            nn.ConvTranspose2d(2 * c, c, 2, 2), Residual(c),
            nn.Conv2d(c, 3 * 16, 3, padding=1), nn.PixelShuffle(4))
        patch = config.image_size // config.latent_side
        self.patch_in = nn.Conv2d(3, z, patch, patch)
        self.patch_out = nn.ConvTranspose2d(z, 3, patch, patch)
        for last in (self.encoder[-1], self.decoder[-2]):  # the linear path alone at first
            for parameter in last.parameters():
                nn.init.zeros_(parameter)
        self.register_buffer("mean", torch.zeros(z))
        self.register_buffer("std", torch.ones(z))

    def encode(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) in [-1, 1] -> (B, T, C), normalised."""
        z = self.raw_latents(images.contiguous(memory_format=torch.channels_last))
        return (z.flatten(2).transpose(1, 2) - self.mean) / self.std

    def decode(self, latents: Tensor) -> Tensor:
        """(B, T, C) -> (B, 3, H, W), about [-1, 1]."""
        z = (latents * self.std + self.mean).transpose(1, 2).unflatten(2, (self.side, self.side))
        z = z.contiguous(memory_format=torch.channels_last)
        return self.decoder(z) + self.patch_out(z)

    def raw_latents(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, C, side, side), not normalised."""
        return self.encoder(images) + self.patch_in(images)

    @torch.no_grad()
    def fit_linear(self, images: Tensor) -> None:
        """Set the linear path to the principal components of the images' patches."""
        channels, _, size, _ = self.patch_in.weight.shape
        patches = images.unfold(2, size, size).unfold(3, size, size)  # (B, 3, s, s, p, p)
        x = patches.permute(0, 2, 3, 1, 4, 5).reshape(-1, 3 * size * size)
        mean = x.mean(0)
        basis = torch.linalg.svd(x - mean, full_matrices=False)
        components = basis.Vh[:channels]  # (C, 3 p p)
        scale = (basis.S[:channels] / len(x)**0.5).clamp_min(1e-4)[:, None]
        assert self.patch_in.bias is not None and self.patch_out.bias is not None
        self.patch_in.weight.copy_((components / scale).view_as(self.patch_in.weight))
        self.patch_in.bias.copy_(-(components / scale) @ mean)
        self.patch_out.weight.copy_((components * scale).view_as(self.patch_out.weight))
        self.patch_out.bias.copy_(mean.view(3, size, size).mean((1, 2)))

    def loss(self, images: Tensor) -> Tensor:
        """Reconstruction of images that passed through a slightly noisy bottleneck."""
        z = self.raw_latents(images)
        z = z + 0.03 * torch.randn_like(z)
        error = (self.decoder(z) + self.patch_out(z)).float() - images
        gradient = error.diff(dim=2).abs().mean() + error.diff(dim=3).abs().mean()
        return error.abs().mean() + 4 * error.square().mean() + 0.3 * gradient


def to_unit(images: Tensor) -> Tensor:
    """(B, H, W, 3) uint8 -> (B, 3, H, W) float in [-1, 1], channels last in memory."""
    return images.permute(0, 3, 1, 2).float() / 127.5 - 1.0


def to_uint8(images: Tensor) -> Tensor:
    """(B, 3, H, W) about [-1, 1] -> (B, H, W, 3) uint8."""
    return ((images.float().clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1)
