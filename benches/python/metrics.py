"""Metrics of random predictions by scikit-learn, and the time they take, as one line of JSON.

Usage: metrics.py IMAGES CLASSES
"""

import json
import sys
import time

import numpy as np
from sklearn import metrics

images, classes = map(int, sys.argv[1:])
rng = np.random.default_rng(1)
targets = np.arange(images) % classes
probabilities = (rng.random((images, classes)) * rng.random((images, classes))).astype(np.float32)
guesses = np.where(rng.random(images) < 0.8, targets, rng.integers(classes, size=images))
probabilities[np.arange(images), guesses] += classes * rng.random(images).astype(np.float32)
probabilities /= probabilities.sum(axis=1, keepdims=True)

start = time.perf_counter()
predictions = probabilities.argmax(axis=1)
metrics.classification_report(targets, predictions, output_dict=True, zero_division=0)
metrics.balanced_accuracy_score(targets, predictions)
metrics.cohen_kappa_score(targets, predictions)
metrics.matthews_corrcoef(targets, predictions)
metrics.confusion_matrix(targets, predictions)
one_hot = np.eye(classes, dtype=np.int8)[targets]
metrics.roc_auc_score(one_hot, probabilities, average="macro")
metrics.average_precision_score(one_hot, probabilities, average="macro")
metrics.top_k_accuracy_score(targets, probabilities, k=5)
metrics.log_loss(targets, probabilities)
print(json.dumps({"s_metrics": time.perf_counter() - start}))
