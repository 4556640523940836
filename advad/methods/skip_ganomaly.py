"""Skip-GANomaly: a UNet reconstructs, and the errors in pixels and in a discriminator's features make the score.

Akçay, Atapour-Abarghouei, Breckon: Skip-GANomaly: Skip Connected and Adversarially Trained Encoder-Decoder Anomaly
Detection. IJCNN 2019.

The authors' GANomaly (`ganomaly.py`) forces an image through a code; here G is a UNet, whose skip connections hand the
encoder's maps to the decoder, for sharper images. The second encoder is gone: the features f of the discriminator D
take its place, in the training and in the score.

| paper | here |
|---|---|
| G, x̂ = G(x) | `networks.generator`, `x_hat` |
| D; f(x), its last convolutional layer | `networks.discriminator`, which returns logits and features |
| L_adv = log D(x) + log(1 − D(x̂)), the GAN's own game | G: `binary_loss`; D: `ReconstructionGAN.discriminator_loss` |
| L_con = ‖x − x̂‖₁ | `pixel_distance` |
| L_lat = ‖f(x) − f(x̂)‖₂, feature matching | `feature_distance` |
| λ_adv, λ_con, λ_lat | `adversarial_weight`, `reconstruction_weight`, `latent_weight` |
| A(x) = λ R(x) + (1 − λ) L(x); R is L_con of x, L is L_lat of x | `score_images`, `term_images` |
| λ | `score_weight` |

So feature matching is a loss of its own here (L_lat); in GANomaly it *is* L_adv, and the logits of D do not enter the
loss of G.

Departures from the paper, and from its released code (equations are cited by name: we had the released code, not the
paper's text):
- **G's game.** G descends −log D(x̂), as in the code, not log(1 − D(x̂)), whose gradient vanishes where D wins.
- **D's loss.** The code adds L_lat to D's loss as well, which trains D to see no difference between x and x̂. Not
  here: D has L_adv alone, as in the paper.
- **Norms.** R and L are mean squares in the code; here they are the paper's norms, R a mean over pixels and L divided
  by √n for n features, so that λ = 0.9 weighs the error of one pixel against that of one feature.
- **λ_con** is 40 in the paper, and 50 by default in the code.
- **Evaluation.** As GANomaly's, the code scores in batch norm's training mode, keeps the best test epoch, resets D
  below a loss of 1e-5 and scales scores by the test set's extremes. Here: evaluation mode, last epoch, none of these.
- The UNet has a code of `latent_dim` under maps of 4 to 7 pixels a side; theirs halves down to one pixel. Pixels stay
  in [0, 1] (a sigmoid, not tanh), images keep their size; `conv_width` is 16 instead of 64, so that training fits
  on a laptop.

Measured results: data/findings/skip_ganomaly.md.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from advad.checks import check_number
from advad.engine.bases.reconstruction_gan import ReconstructionGAN
from advad.engine.training import Networks
from advad.networks.dcgan import Discriminator
from advad.networks.losses import binary_loss, feature_distance, pixel_distance, squared_error
from advad.networks.unet import DCGANUNet


@dataclass(kw_only=True, eq=False, repr=False)
class SkipGANomaly(ReconstructionGAN):
    """A UNet against a discriminator; A(x) = λ · error of the pixels + (1 − λ) · error of D's features. No `decode`.

    Parameters
    ----------
    adversarial_weight, reconstruction_weight, latent_weight : float
        λ_adv, λ_con, λ_lat, at least 0.
    score_weight : float
        λ, in [0, 1]: of the pixels in the score.
    conv_width, epochs, batch_size, learning_rate, latent_dim, seed, device, precision
        See `ReconstructionGAN` and `Detector`.
    """

    epochs: int = 15  # released code
    adversarial_weight: float = 1.0  # paper, as the next three
    reconstruction_weight: float = 40.0
    latent_weight: float = 1.0
    score_weight: float = 0.9

    auto_bfloat16 = False  # below chance in the comparison: data/findings/precision.md
    _paper_settings = {"CIFAR10": {"conv_width": 64, "epochs": 15}}  # defaults of the released code's options

    residual_power = 1

    def check(self) -> None:
        super().check()
        for name in ("adversarial_weight", "reconstruction_weight", "latent_weight"):
            check_number("SkipGANomaly", name, getattr(self, name), 0)
        check_number("SkipGANomaly", "score_weight", self.score_weight, 0, 1, remedy="It is λ; 0.9 in the paper.")

    def build(self, image_shape: tuple[int, int, int]) -> dict[str, nn.Module]:
        return {
            "generator": DCGANUNet(image_shape, self.latent_dim, self.conv_width),
            "discriminator": Discriminator(image_shape, self.conv_width),
        }

    def generator_loss(self, networks: Networks, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return L = λ_adv L_adv + λ_con L_con + λ_lat L_lat."""
        x_hat = networks.generator(x)
        (_, f), (y_hat, f_hat) = networks.discriminator(x), networks.discriminator(x_hat)
        L_adv, L_con, L_lat = (
            binary_loss(y_hat, real=True),
            pixel_distance(x, x_hat),
            feature_distance(f, f_hat),
        )
        L = self.adversarial_weight * L_adv + self.reconstruction_weight * L_con + self.latent_weight * L_lat
        return L, {"adversarial": L_adv, "reconstruction": L_con, "latent": L_lat}

    @property
    def decodes(self) -> bool:
        return False  # skip connections carry the image past the code

    def term_images(self, networks: Networks, x: Tensor) -> dict[str, Tensor]:
        """Return R(x) = ‖x − x̂‖₁/n_pixels and L(x) = ‖f(x) − f(x̂)‖₂/√n_features, each (B,)."""
        x_hat = networks.generator(x)
        (_, f), (_, f_hat) = networks.discriminator(x), networks.discriminator(x_hat)
        return {"reconstruction": (x - x_hat).abs().flatten(1).mean(1), "features": squared_error(f, f_hat).sqrt()}

    def score_images(self, networks: Networks, x: Tensor) -> Tensor:
        """Return A(x) = λ R(x) + (1 − λ) L(x)."""
        R, L = self.term_images(networks, x).values()
        return self.score_weight * R + (1 - self.score_weight) * L
