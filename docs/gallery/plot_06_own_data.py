"""
Your own tf.data, your own fit
==============================

`prepare` turns a recipe into what Keras's `fit` needs: a compiled model, data and callbacks. With `data=` it takes
datasets of your own. They give images of 0-255 and labels; the model normalises the pixels itself.
"""

import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import kerasnets

digits = load_digits()
images = tf.image.resize(digits.images[..., np.newaxis] * (255 / 16), (32, 32)).numpy()
train_x, test_x, train_y, test_y = train_test_split(images, digits.target, stratify=digits.target, random_state=0)
train = tf.data.Dataset.from_tensor_slices((train_x, train_y)).shuffle(2_000, seed=0).batch(32)
test = tf.data.Dataset.from_tensor_slices((test_x, test_y)).batch(32)

# %%
# From recipe to fit
# ------------------

ready = kerasnets.prepare("lenet5_digits", data=(train, test), overrides=["model.arguments.classes=10", "epochs=6"])
history = ready.model.fit(
    ready.train,
    validation_data=ready.validation,
    callbacks=ready.callbacks,
    epochs=ready.epochs,
    steps_per_epoch=ready.steps_per_epoch,
    shuffle=False,
    verbose=0,
).history
for epoch in range(ready.epochs):
    print(f"epoch {epoch + 1}: loss {history['loss'][epoch]:.3f}, held-out digits right "
          f"{100 * history['val_top1'][epoch]:.1f} %")  # fmt: skip

# %%
# The trained network
# -------------------
# `network()` returns the network itself: normalised pixels in, probabilities out.

network = ready.network()
answers = network.predict(kerasnets.preprocess_input(test_x, network), verbose=0).argmax(-1)
print(f"{np.sum(answers == test_y)} of {len(test_y)} held-out digits are right")

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
epochs = range(1, ready.epochs + 1)
left.plot(epochs, history["loss"], "o-", label="training")
left.plot(epochs, history["val_loss"], "o-", label="held out")
left.set(title="loss", xlabel="epoch")
left.legend(frameon=False)
right.plot(epochs, 100 * np.array(history["val_top1"]), "o-", color="#ff725c")
right.set(title="held-out digits that are right, %", xlabel="epoch")
plt.show()
