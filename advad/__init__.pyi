"""The list of public names: `__init__.py` imports each from here on its first use; editors read it as well."""

from advad.analysis.metrics import Interval as Interval
from advad.analysis.metrics import auprc as auprc
from advad.analysis.metrics import auroc as auroc
from advad.analysis.metrics import balanced_accuracy as balanced_accuracy
from advad.analysis.metrics import best_f1 as best_f1
from advad.analysis.metrics import bootstrap as bootstrap
from advad.analysis.metrics import f1_at as f1_at
from advad.analysis.metrics import fpr_at_tpr as fpr_at_tpr
from advad.analysis.metrics import rate_interval as rate_interval
from advad.analysis.metrics import threshold_at as threshold_at
from advad.datasets.load import ImageSet as ImageSet
from advad.datasets.load import load as load
from advad.datasets.protocols import Split as Split
from advad.datasets.protocols import leave_one_out as leave_one_out
from advad.datasets.protocols import merged as merged
from advad.datasets.protocols import one_class as one_class
from advad.engine.detector import Detector as Detector
from advad.engine.training import DivergedError as DivergedError
from advad.methods import load_detector as load_detector
from advad.methods.aae import AAE as AAE
from advad.methods.adae import ADAE as ADAE
from advad.methods.agad import AGAD as AGAD
from advad.methods.alcn import ALCN as ALCN
from advad.methods.anogan import AnoGAN as AnoGAN
from advad.methods.arae import ARAE as ARAE
from advad.methods.arae import ARAE_A as ARAE_A
from advad.methods.arae import ARAE_R as ARAE_R
from advad.methods.autoencoder import AE as AE
from advad.methods.autoencoder import DAE as DAE
from advad.methods.berg import Berg as Berg
from advad.methods.classical import KDE as KDE
from advad.methods.classical import LOF as LOF
from advad.methods.classical import OCSVM as OCSVM
from advad.methods.classical import PCA as PCA
from advad.methods.classical import IForest as IForest
from advad.methods.deep_sad import DeepSAD as DeepSAD
from advad.methods.deep_svdd import DeepSVDD as DeepSVDD
from advad.methods.egbad import EGBAD as EGBAD
from advad.methods.fanogan import FAnoGAN as FAnoGAN
from advad.methods.feature_knn import FeatureKNN as FeatureKNN
from advad.methods.ganomaly import GANomaly as GANomaly
from advad.methods.geotrans import GeoTrans as GeoTrans
from advad.methods.itsr import ITSR as ITSR
from advad.methods.lsa import LSA as LSA
from advad.methods.ocgan import OCGAN as OCGAN
from advad.methods.oled import OLED as OLED
from advad.methods.pyod import PyOD as PyOD
from advad.methods.skip_ganomaly import SkipGANomaly as SkipGANomaly
from advad.methods.vae import VAE as VAE

__version__: str
__all__: list[str]
