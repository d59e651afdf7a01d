"""LAION's Keras detectors as TensorFlow runs them: goldens for test/safety/heads.

Usage: heads_keras_goldens.py FOLDER_WITH_THE_ZIPS OUT

Needs tensorflow-cpu 2.21.0 (and tf_keras 2.21.0 for the tiny model). The zips are LAION's own, from
github.com/LAION-AI/CLIP-based-NSFW-Detector; nothing of them is written, only what they give for embeddings made
here: unit vectors drawn at random, vectors as real ones are spread, both also rounded to float16 (which is when the
lookups hit), and vectors whose looked-up components are at the edges of printing with six decimals.
"""

import json
import os
import shutil
import sys
import tempfile
import zipfile

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"

import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
from tensorflow.core.protobuf import saved_model_pb2  # noqa: E402

HEADS = {
    "laion_l14": ("clip_autokeras_binary_nsfw", 768, [180, 316, 413, 440, 644]),
    "laion_b32": ("clip_autokeras_nsfw_b32", 512, [92, 133, 312]),
}
# Component and value: halfway between two sixth decimals (odd multiples of 1/128), zeros and what prints as zero.
EDGES = {
    "laion_l14": [
        (440, 1 / 128), (440, 3 / 128), (440, 5 / 128), (440, 7 / 128), (316, -1 / 128), (316, -3 / 128),
        (180, 0.0), (180, -0.0), (440, -1e-9), (440, 4e-7), (440, -6e-7), (180, 9 / 128),
    ],
    "laion_b32": [
        (133, 7 / 128), (133, 9 / 128), (133, 11 / 128), (133, 13 / 128), (92, -15 / 128), (92, -17 / 128),
        (312, 0.0), (312, -0.0), (133, -1e-9), (312, 7 / 128), (312, 9 / 128), (92, -19 / 128),
    ],
}


def unit(rows):
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def half(rows):
    return rows.astype(np.float16).astype(np.float32)


def tables(folder):
    """Keys by table, in the order of the looked-up components."""
    model = saved_model_pb2.SavedModel()
    with open(f"{folder}/saved_model.pb", "rb") as file:
        model.ParseFromString(file.read())
    nodes = {node.name: node for node in model.meta_graphs[0].graph_def.node}
    value = lambda name: tf.make_ndarray(nodes[name].attr["value"].tensor)  # noqa: E731
    fillers = [n for n in nodes.values() if n.op == "StatefulPartitionedCall" and len(n.input) == 3]
    fillers.sort(key=lambda n: int(n.name.split("_")[-1]))
    return [[float(key) for key in value(n.input[1])] for n in fillers]


def embeddings(folder, dim, columns, edges, seed):
    rng = np.random.default_rng(seed)
    reader = tf.train.load_checkpoint(f"{folder}/variables/variables")
    mean = reader.get_tensor("layer_with_weights-1/mean/.ATTRIBUTES/VARIABLE_VALUE")
    sd = np.sqrt(reader.get_tensor("layer_with_weights-1/variance/.ATTRIBUTES/VARIABLE_VALUE"))
    keys = tables(folder)
    random = unit(rng.standard_normal((4, dim)))
    spread = mean + sd * rng.standard_normal((12, dim)) * rng.uniform(0.5, 2, (12, 1))
    for row in spread:
        for column, known in zip(columns, keys):
            row[column] = known[rng.integers(len(known))]
    spread = spread.astype(np.float32)
    edged = half(np.repeat(spread[-4:], 3, axis=0))
    for row, (column, value) in zip(edged, edges, strict=True):
        row[column] = np.float32(value)
    return np.concatenate([random, half(random), spread, half(spread[:6]), edged])


def goldens(source, out):
    for seed, (name, (stem, dim, columns)) in enumerate(HEADS.items()):
        with tempfile.TemporaryDirectory() as folder:
            with zipfile.ZipFile(f"{source}/{stem}.zip") as archive:
                archive.extractall(folder)
            rows = embeddings(f"{folder}/{stem}", dim, columns, EDGES[name], seed)
            model = tf.saved_model.load(f"{folder}/{stem}")
            run = model.signatures["serving_default"]
            (answer,) = run(tf.constant(rows.astype(np.float64))).values()
            np.save(f"{out}/{name}.npy", rows)
            with open(f"{out}/{name}.json", "w") as file:
                json.dump({"tensorflow": tf.__version__, "probability": answer.numpy()[:, 0].tolist()}, file, indent=1)
                file.write("\n")
            print(name, rows.shape, answer.numpy().ravel().round(4).tolist())


def tiny(out):
    """A SavedModel of the same layers, small enough to ship: 6 components, two of them looked up."""
    import tf_keras as keras

    @keras.saving.register_keras_serializable(package="Custom")
    class MultiCategoryEncoding(keras.layers.Layer):
        def __init__(self, encoding, **kwargs):
            super().__init__(**kwargs)
            self.encoding = list(encoding)
            self.encoding_layers = [
                None if kind == "none" else keras.layers.StringLookup(vocabulary=vocabulary.pop(0))
                for kind in encoding
            ]

        def call(self, inputs):
            columns = []
            for column, layer in zip(tf.split(inputs, [1] * len(self.encoding), axis=-1), self.encoding_layers):
                if layer is None:
                    columns.append(tf.where(tf.math.is_nan(column), tf.zeros_like(column), column))
                else:
                    columns.append(tf.cast(layer(tf.strings.as_string(column)), tf.float32))
            return tf.concat(columns, axis=-1)

        def get_config(self):
            return {**super().get_config(), "encoding": self.encoding}

    vocabulary = [["0.500000", "-0.250000", "0.007812"], ["0.125000", "-0.000001"]]
    rng = np.random.default_rng(7)
    keras.utils.set_random_seed(7)
    inputs = keras.Input((6,), dtype=tf.float64, name="input_1")
    encoded = MultiCategoryEncoding(["none", "int", "none", "none", "int", "none"])(inputs)
    adapted = keras.layers.Normalization()
    # The last component does not vary: Keras then divides by its epsilon.
    adapted.adapt(rng.normal(size=(50, 6)).astype(np.float32) * [1, 2, 1, 3, 1, 0] + 0.25)
    x = adapted(encoded)
    x = keras.layers.ReLU()(keras.layers.Dense(4, bias_initializer="random_normal")(x))
    x = keras.layers.Dropout(0.5)(x)
    x = keras.layers.Dense(1, bias_initializer="random_normal")(x)
    model = keras.Model(inputs, keras.layers.Activation("sigmoid", name="head")(x))
    rows = np.round(rng.normal(size=(8, 6)), 3).astype(np.float32)
    rows[:, 1] = [0.5, -0.25, 0.0078125, 0.5000001, 0.5000009, 0, 0.1, -0.25]
    rows[:, 5] = 0.25
    rows[:, 4] = [0.125, -1e-6, -0.0, -4e-7, 0.125, 7, 0.3, 0.125]
    with tempfile.TemporaryDirectory() as folder:
        model.save(f"{folder}/tiny", save_format="tf")
        run = tf.saved_model.load(f"{folder}/tiny").signatures["serving_default"]
        (answer,) = run(tf.constant(rows.astype(np.float64))).values()
        with zipfile.ZipFile(f"{out}/tiny_keras.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for path in ["saved_model.pb", "keras_metadata.pb", "variables/variables.index",
                         "variables/variables.data-00000-of-00001"]:
                info = zipfile.ZipInfo(f"tiny/{path}", (2026, 1, 1, 0, 0, 0))
                info.compress_type = zipfile.ZIP_DEFLATED
                with open(f"{folder}/tiny/{path}", "rb") as file:
                    archive.writestr(info, file.read())
        with open(f"{out}/tiny_keras.json", "w") as file:
            json.dump({"rows": rows.tolist(), "probability": answer.numpy()[:, 0].tolist()}, file)
            file.write("\n")
        print("tiny", answer.numpy().ravel())


if __name__ == "__main__":
    source, out = sys.argv[1:3]
    os.makedirs(out, exist_ok=True)
    goldens(source, out)
    tiny(out)
