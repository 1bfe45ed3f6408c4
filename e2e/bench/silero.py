"""Silero's probabilities for the streams in a file: each a length (32 bits) and samples (float, 16 kHz); one for each 32 ms."""

import importlib.util
import pathlib
import sys

import numpy as np
import onnxruntime

WINDOW, CONTEXT = 512, 64

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
# Only the model of the package is wanted: the package itself would bring a whole machine learning framework.
package = pathlib.Path(importlib.util.find_spec("silero_vad").origin).parent
model = onnxruntime.InferenceSession(str(package / "data" / "silero_vad.onnx"), options)
rate = np.array(16_000, np.int64)

heard = pathlib.Path(sys.argv[1]).read_bytes()
scores, at = [], 0
while at < len(heard):
    (length,) = np.frombuffer(heard, np.uint32, 1, at)
    audio = np.frombuffer(heard, np.float32, int(length), at + 4)
    at += 4 + 4 * int(length)
    state, context = np.zeros((2, 1, 128), np.float32), np.zeros(CONTEXT, np.float32)
    for begin in range(0, len(audio) - WINDOW + 1, WINDOW):
        window = audio[begin : begin + WINDOW]
        shown = np.concatenate([context, window])[None]
        score, state = model.run(None, {"input": shown, "state": state, "sr": rate})
        context = window[-CONTEXT:]
        scores.append(score[0, 0])
pathlib.Path(sys.argv[2]).write_bytes(np.array(scores, np.float32).tobytes())
