"""What tests of intervals and of reach share: predictors without an estimator, and a small zoo that is trained."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch

import ww_core as ww
import ww_plugins.feature_sets
from ww_plugins.predictors.predictor import Agreement, Learned, Predictor
from ww_plugins.zoos.data import image_set
from ww_plugins.zoos.folder import read_zoo
from ww_plugins.zoos.training.request import zoo_request
from ww_plugins.zoos.training.train import train_zoo

NOTHING = Agreement(0, np.nan, np.nan, np.nan, np.nan)


@dataclass
class Constant:
    value: float = 0.5

    def predict(self, features):
        return np.full(len(features), self.value)


def learned(features, targets=None, families=None, first=0):
    features = np.asarray(features, np.float64)
    count = len(features)
    targets = np.zeros(count) if targets is None else np.asarray(targets, np.float64)
    families = np.full(count, "", object) if families is None else np.asarray(families, object)
    return Learned(np.arange(first, first + count), features, targets, families)


@pytest.fixture(scope="session")
def predictor_of():
    """Makes a predictor of training and calibration networks: features, and what was measured and predicted."""

    def make(training, calibration, *, targets=None, calibrated=None, families=None, **others):
        training, calibration = np.asarray(training, float), np.asarray(calibration, float)
        fields = {
            "program": "0",
            "features": "statistics",
            "feature_versions": (),
            "names": tuple(f"f{at}" for at in range(training.shape[1])),
            "estimator": "none",
            "estimator_version": "1",
            "target": "test_accuracy",
            "zoo": "zoo",
            "data": "",
            "tensors": (),
            "layout": "keras",
            "family_by": "",
            "seed": 0,
            "trials": 0,
            "folds": 0,
            "fold_scores": (),
            "training": learned(training, np.arange(len(training)) / 10, first=100),
            "calibration": learned(calibration, targets, families, first=1000),
            "calibrated": np.zeros(len(calibration)) if calibrated is None else np.asarray(calibrated, float),
            "held_out": np.zeros(0, np.int64),
            "held_out_score": NOTHING,
            "fitted": Constant(),
        }
        return Predictor(**(fields | others))

    return make


@pytest.fixture(scope="session")
def small_zoo(tmp_path_factory):
    """The features and accuracies of 240 networks of digits, and the features of the networks before training."""
    images = image_set("digits")
    folder = tmp_path_factory.mktemp("zoo") / "digits"
    request = zoo_request(data="digits", count=240, epochs=2, network="mlp", width=8, checkpoints=[0, 2], images=images)
    threads = torch.get_num_threads()
    train_zoo(request, images, folder, jobs=1)
    torch.set_num_threads(threads)
    zoo = read_zoo(folder)
    plugins = [] if "ww.feature_sets" in ww.load_plugins().loaded else [ww_plugins.feature_sets]
    last, first = (ww.zoo_features(part, "statistics", plugins=plugins) for part in (zoo.last(), zoo.at(0)))
    return last.values, last.zoo.results["test_accuracy"], first.values
