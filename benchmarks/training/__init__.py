"""Measures training beside scikit-surprise on the same ratings: ``movierec bench training``.

For each size, a data set of ML-20M's shape is generated once. One rating in a hundred is held out, the rest
is imported; then, each in a process of its own so that its memory can be measured,

- the model is trained as ``movierec train`` does it, from database to published version, and its error
  on the held-out ratings is compared with the noise that the generator put in;
- Surprise builds its trainset and runs some epochs, from which the time of 20 is computed.
"""
