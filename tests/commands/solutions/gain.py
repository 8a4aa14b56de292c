gains = {"tanh": 5 / 3, "relu": 2**0.5, "linear": 1}
