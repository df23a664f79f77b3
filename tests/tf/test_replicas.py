"""`tf.distribute`: replicas learn together what one learns, in a process with two processors."""

import subprocess
import sys

import pytest

SCRIPT = """
import keras
import numpy as np
import tensorflow as tf
import distilbert as d
from distilbert.tf.distillation import from_teacher

processor = tf.config.list_physical_devices("CPU")[0]
two = [tf.config.LogicalDeviceConfiguration()] * 2
tf.config.set_logical_device_configuration(processor, two)
replicas = tf.distribute.MirroredStrategy(["/cpu:0", "/cpu:1"])
assert replicas.num_replicas_in_sync == 2
ids = np.random.default_rng(0).integers(5, 20, (8, 4))


def head(config):
    model = d.TFDistilBertForSequenceClassification(config)
    model.classifier.kernel.regularizer = keras.regularizers.L2(0.1)
    return model, {"input_ids": ids, "labels": ids[:, 0] % 2}


def distiller(config):
    teacher = d.TFDistilBertForMaskedLM(config)
    return d.TFDistiller(from_teacher(teacher, [0]), teacher), {"input_ids": ids, "labels": ids}


def trained(make, strategy):
    keras.utils.set_random_seed(0)
    with strategy.scope():
        model, given = make(d.DistilBertConfig(
            vocab_size=20, n_layers=1, n_heads=2, dim=8, hidden_dim=8, max_position_embeddings=4,
            initializer_range=0.2, dropout=0.0, attention_dropout=0.0, seq_classif_dropout=0.0,
        ))
        model.compile(keras.optimizers.SGD(0.1), run_eagerly=True)
    return model.fit(given, batch_size=8, epochs=2, shuffle=False, verbose=0).history


for make in (head, distiller):
    found, expected = (trained(make, each) for each in (replicas, tf.distribute.get_strategy()))
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-4, err_msg=f"{make} {name}")
"""


@pytest.mark.slow
def test_two_replicas_learn_as_one():
    subprocess.run([sys.executable, "-c", SCRIPT], check=True)
