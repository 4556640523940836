"""GANomaly: encode, decode, encode again; the distance between the two codes is the anomaly score.

Akçay, Atapour-Abarghouei, Breckon: GANomaly: Semi-Supervised Anomaly Detection via Adversarial Training. ACCV 2018.

A generator G encodes an image to a code z and decodes it to x̂; a second encoder E, with the same layers but weights of
its own, encodes x̂ to ẑ. All three are trained on normal images to keep x̂ close to x and ẑ close to z. The idea is that
the decoder cannot draw what is anomalous in a code: it is missing in x̂, hence in ẑ, and ‖z − ẑ‖ is large. The
discriminator D contributes its features f: those of x̂ must resemble those of x ("feature matching"). The logits of D do
not enter the loss of G.

| paper | here |
|---|---|
| G_E, G_D; G(x) = G_D(G_E(x)) | `networks.generator.encoder`, `.decoder`; `networks.generator` |
| E | `networks.second_encoder` |
| D; f(x), an intermediate layer of D | `networks.discriminator`, which returns logits and features |
| z = G_E(x), x̂ = G(x), ẑ = E(x̂) | `z`, `x_hat`, `z_hat` in `codes` |
| L_adv = ‖f(x) − f(G(x))‖₂, L_enc = ‖G_E(x) − E(G(x))‖₂ | `feature_distance` |
| L_con = ‖x − G(x)‖₁ | `pixel_distance` |
| w_adv, w_con, w_enc | `adversarial_weight`, `reconstruction_weight`, `encoder_weight` |
| A(x) = ‖G_E(x) − E(G(x))‖₁ | `score_images` |

Departures from the paper, and from its released code (equations are cited by name: we had the released code, not the
paper's text):
- **Norms.** The code has mean *squares* in L_adv, L_enc and A(x), the paper norms. Here norms as in the paper, each
  divided by what makes it independent of the number of features (√n, or n in A), as L_con is a mean over pixels.
- **Scaling.** Scores are not scaled to [0, 1] by the extremes of the test set: AUROC would be the same, but
  every score would depend on the other test images.
- **Evaluation.** The code scores with batch norm in *training* mode, so that a score depends on its batch; and after
  each epoch it measures AUROC on the test set and keeps the best. Here: evaluation mode, last epoch.
- **Resetting D.** The code draws D's weights anew whenever its loss is below 1e-5. Not here: it would erase the
  features of L_adv. The code halves D's loss, which makes no difference with Adam.
- Pixels stay in [0, 1] (a sigmoid, not tanh) and images keep their size (the paper's MNIST is resized to 32×32).
- `conv_width` 16 instead of 64, chosen so that training fits on a laptop; `paper_settings` has the code's.

Measured results: data/findings/ganomaly.md.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from advad.checks import check_number
from advad.engine.bases.reconstruction_gan import ReconstructionGAN
from advad.engine.training import Networks
from advad.networks.dcgan import Discriminator, dcgan_encoder, dcgan_generator
from advad.networks.losses import feature_distance, pixel_distance


@dataclass(kw_only=True, eq=False, repr=False)
class GANomaly(ReconstructionGAN):
    """Encoder, decoder, encoder, against a discriminator's features; A(x) = ‖G_E(x) − E(G(x))‖₁.

    Parameters
    ----------
    adversarial_weight, reconstruction_weight, encoder_weight : float
        w_adv, w_con, w_enc, at least 0.
    conv_width, epochs, batch_size, learning_rate, latent_dim, seed, device, precision
        See `ReconstructionGAN` and `Detector`; E is trained together with the generator.
    """

    epochs: int = 15  # released code
    adversarial_weight: float = 1.0  # the same, this and the next two
    reconstruction_weight: float = 50.0
    encoder_weight: float = 1.0

    # defaults of the released code's options
    _paper_settings = {name: {"conv_width": 64, "epochs": 15} for name in ("MNIST", "CIFAR10")}

    residual_power = 1
    optimised = {"generator": ("generator", "second_encoder"), "discriminator": ("discriminator",)}
    auto_bfloat16 = False  # AUROC differs by more than 0.005: data/findings/precision.md

    def check(self) -> None:
        super().check()
        for name in ("adversarial_weight", "reconstruction_weight", "encoder_weight"):
            check_number("GANomaly", name, getattr(self, name), 0)

    def build(self, image_shape: tuple[int, int, int]) -> dict[str, nn.Module]:
        return {
            "generator": dcgan_generator(image_shape, self.latent_dim, self.conv_width),
            "second_encoder": dcgan_encoder(image_shape, self.latent_dim, self.conv_width),
            "discriminator": Discriminator(image_shape, self.conv_width),
        }

    def codes(self, networks: Networks, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return z = G_E(x), x̂ = G_D(z), ẑ = E(x̂)."""
        z = networks.generator.encoder(x)
        x_hat = networks.generator.decoder(z)
        return z, x_hat, networks.second_encoder(x_hat)

    def generator_loss(self, networks: Networks, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return L = w_adv L_adv + w_con L_con + w_enc L_enc."""
        z, x_hat, z_hat = self.codes(networks, x)
        (_, f), (_, f_hat) = networks.discriminator(x), networks.discriminator(x_hat)
        L_adv, L_con, L_enc = (
            feature_distance(f, f_hat),  # of D's features, not of its logits
            pixel_distance(x, x_hat),
            feature_distance(z, z_hat),
        )
        L = self.adversarial_weight * L_adv + self.reconstruction_weight * L_con + self.encoder_weight * L_enc
        return L, {"adversarial": L_adv, "reconstruction": L_con, "encoder": L_enc}

    def score_images(self, networks: Networks, x: Tensor) -> Tensor:
        """Return A(x) = ‖G_E(x) − E(G(x))‖₁, a mean over the code's units, (B,)."""
        z, _, z_hat = self.codes(networks, x)
        return (z - z_hat).abs().mean(1)
