"""The tree-structured Parzen estimator of Optuna 5 (`pip install optuna`). Prints tpe.json: logarithms of its densities for
given observations, and for each test function the mean over 30 seeds of the best value in 60 trials, of TPE and of random
search. Each key is sampled by itself (multivariate=False, the default up to Optuna 4)."""
import json
import math
import sys

import numpy as np
import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers._tpe.parzen_estimator import _ParzenEstimator, _ParzenEstimatorParameters
from optuna.samplers._tpe.sampler import default_weights

optuna.logging.set_verbosity(optuna.logging.ERROR)

TRIALS, SEEDS = 60, 30
PARAMETERS = _ParzenEstimatorParameters(1.0, True, False, default_weights, False)


def density(distribution, observations, points):
    estimator = _ParzenEstimator({"x": np.array(observations, float)}, {"x": distribution}, PARAMETERS)
    return estimator.log_pdf({"x": np.array(points, float)}).tolist()


def observed(count, low, high):
    return [low + (high - low) * (0.5 + 0.5 * math.sin(3.7 * i + 0.4)) for i in range(count)]


densities = []
for count in [0, 1, 2, 5, 40]:
    floats, points = observed(count, -1.0, 2.0), [-1.0, -0.2, 0.5, 1.3, 2.0]
    densities.append({"kind": "uniform", "range": [-1.0, 2.0], "observations": floats, "points": points,
                      "log_density": density(FloatDistribution(-1.0, 2.0), floats, points)})
    logs, points = [10 ** x for x in observed(count, -4.0, -1.0)], [1e-4, 3e-4, 2e-3, 0.03, 0.1]
    # Of the logarithm of x: so Optuna has it.
    densities.append({"kind": "log_uniform", "range": [1e-4, 0.1], "observations": logs, "points": points,
                      "log_density": density(FloatDistribution(1e-4, 0.1, log=True), logs, points)})
    # Of equal observations Optuna does not say which comes first.
    high, points = (30, [1, 2, 11, 17, 30]) if count < 40 else (100000, [1, 90, 1000, 70000, 100000])
    ints = [round(x) for x in observed(count, 1, high)]
    assert len(set(ints)) == count
    for log in [False, True]:
        densities.append({"kind": "log_int" if log else "int", "range": [1, high], "observations": ints,
                          "points": points, "log_density": density(IntDistribution(1, high, log=log), ints, points)})
    chosen, points = [(7 * i) % 5 % 4 for i in range(count)], [0, 1, 2, 3]
    densities.append({"kind": "choice", "range": [0, 3], "observations": chosen, "points": points,
                      "log_density": density(CategoricalDistribution(range(4)), chosen, points)})


def sphere(trial):
    return sum(trial.suggest_float(name, -5.0, 5.0) ** 2 for name in "xy")


def branin(trial):
    x, y = trial.suggest_float("x", -5.0, 10.0), trial.suggest_float("y", 0.0, 15.0)
    bend = y - 5.1 / (4 * math.pi ** 2) * x ** 2 + 5 / math.pi * x - 6
    return bend ** 2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10


def mix(trial):
    lr = trial.suggest_float("x", 1e-5, 1.0, log=True)
    depth = trial.suggest_int("y", 1, 20)
    name = trial.suggest_categorical("z", [0, 1, 2, 3])
    return (math.log10(lr) + 2.5) ** 2 + abs(depth - 6) / 5 + [1.0, 0.4, 0.0, 2.0][name]


functions = {}
for function in [sphere, branin, mix]:
    means = {}
    for kind in ["tpe", "random"]:
        best = []
        for seed in range(SEEDS):
            sampler = (optuna.samplers.TPESampler(seed=seed, multivariate=False) if kind == "tpe"
                       else optuna.samplers.RandomSampler(seed=seed))
            study = optuna.create_study(sampler=sampler)
            study.optimize(function, n_trials=TRIALS)
            best.append(study.best_value)
        means[kind] = {"mean": float(np.mean(best)), "sd": float(np.std(best, ddof=1))}
        print(function.__name__, kind, means[kind], file=sys.stderr)
    functions[function.__name__] = means
print(json.dumps({"optuna": optuna.__version__, "trials": TRIALS, "seeds": SEEDS, "densities": densities,
                  "functions": functions}))
