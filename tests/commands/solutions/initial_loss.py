import math

guess = -math.log(1 / 27)
scale = 0.01
