"""What the teaching notebooks compute: pure functions whose numbers `plots` draws."""

from xmkd_lib.explore.diagnosis import Diagnosis, diagnose
from xmkd_lib.explore.projection import Projection, pca, project, umap
from xmkd_lib.explore.spaces import Spaces, View

__all__ = ["Diagnosis", "Projection", "Spaces", "View", "diagnose", "pca", "project", "umap"]
