"""The frozen random-projection quantizer that makes the targets."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class RandomProjectionVectorQuantizer(nn.Module):
    """Give each group of frames the nearest of some random unit vectors (BEST-RQ, https://arxiv.org/abs/2202.01855).

    Nothing in it is trained. The codebooks are kept, and searched, in float64.

    Args:
        feat_in: number of bands F.
        code_dim: size D of a code.
        num_classes: codes in a codebook.
        num_books: codebooks H.
        combine_time_steps: frames S in a group.

    """

    def __init__(
        self, *, feat_in: int, code_dim: int, num_classes: int, num_books: int = 1, combine_time_steps: int = 1
    ) -> None:
        super().__init__()
        self.code_dim = code_dim
        self.num_books = num_books
        self.combine_time_steps = combine_time_steps
        self.projection = nn.Linear(feat_in * combine_time_steps, num_books * code_dim, bias=False)
        nn.init.xavier_normal_(self.projection.weight)
        codes = functional.normalize(torch.randn(num_books, num_classes, code_dim, dtype=torch.float64), dim=-1)
        self.codebooks = nn.Parameter(codes)
        self.requires_grad_(requires_grad=False)

    def forward(self, feats: Tensor) -> tuple[Tensor, Tensor]:
        """Quantize features.

        Args:
            feats: float32, shape (B, F, T), T a multiple of `combine_time_steps`.

        Returns:
            The codes, float64, shape (B, D, T / S, H), and their ids, int64, shape (B, T / S, H).

        """
        batch, _, steps = feats.shape
        grouped = feats.transpose(1, 2).reshape(batch, steps // self.combine_time_steps, -1)
        projected: Tensor = self.projection(grouped)
        vectors = functional.normalize(projected.view(batch, -1, self.num_books, self.code_dim), dim=-1)
        ids = self.search(vectors)
        return self.look_up(ids).transpose(1, 2), ids

    def search(self, vectors: Tensor) -> Tensor:
        """Find the nearest code in the Euclidean norm: vectors (B, T, H, D) float32, ids (B, T, H) int64.

        Padding becomes the zero vector, which is equally far from every unit code: there the last bit of the float64
        norm decides, so the differences are laid out (B, T, H, D, C) and summed over D as the reference does.
        """
        differences = vectors.unsqueeze(-1) - self.codebooks.transpose(1, 2)
        ids: Tensor = torch.linalg.vector_norm(differences, dim=-2).argmin(dim=-1)
        return ids

    def look_up(self, ids: Tensor) -> Tensor:
        """Fetch codes: ids (B, T, H) int64, codes (B, T, D, H) float64."""
        books = range(self.num_books)
        return torch.stack([functional.embedding(ids[..., book], self.codebooks[book]) for book in books], dim=-1)
