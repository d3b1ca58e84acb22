"""Records cart-pole.json: trajectories of Gym's own CartPole, for the test of examples/cartpole/cart-pole.ts.

Run with gym 0.26 and numpy: python3 record_cart_pole.py. Every 20th state is kept, and the last one. Nothing runs this at build or test time.
"""
import json

import gym
import numpy as np
from gym.envs.classic_control.cartpole import CartPoleEnv

rng = np.random.default_rng(5)
trajectories = []
for index in range(12):
    env = CartPoleEnv()
    env.reset(seed=index)
    start = rng.uniform(-0.05, 0.05, 4) if index < 8 else rng.uniform(-0.2, 0.2, 4) * np.array([8, 4, 0.8, 4])
    env.state = start.copy()
    states, actions, failed = [], [], False
    while not failed and len(states) < 200:
        x, _, angle, angle_speed = env.state
        action = int(rng.integers(2)) if index % 3 == 0 else int(angle + 0.3 * angle_speed + 0.02 * x > 0)
        _, _, failed, _, _ = env.step(action)
        states.append([float(value) for value in env.state])
        actions.append(action)
    trajectories.append(
        dict(start=start.tolist(), actions="".join(map(str, actions)), last=states[-1], states=states[::20], failed=bool(failed))
    )
with open("cart-pole.json", "w") as file:
    json.dump(dict(gym=gym.__version__, trajectories=trajectories), file)
    file.write("\n")
