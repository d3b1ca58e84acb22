/**
 * The cart-pole of Barto, Sutton and Anderson (1983) with the constants and the Euler steps of Gym's CartPole-v0: a cart on a rail is pushed left or
 * right and must keep a pole upright. Pure but for the chance it is given. Checked against trajectories that Gym's own file made.
 */

const GRAVITY = 9.8;
const POLE_MASS = 0.1;
const TOTAL_MASS = 1 + POLE_MASS;
/** Half of the pole, in metres. */
const HALF_LENGTH = 0.5;
const FORCE = 10;
/** Seconds between states. */
const STEP_SECONDS = 0.02;
const POSITION_MAX = 2.4;
const ANGLE_MAX = (12 * 2 * Math.PI) / 360;
/** An episode that lasts so long is cut off: the pole has been kept upright. */
const EPISODE_STEPS_MAX = 200;

/** Position and speed of the cart, angle and speed of the pole. */
export type CartPoleState = readonly [x: number, xSpeed: number, angle: number, angleSpeed: number];

/** The state one step after `action` (1 pushes to the right, 0 to the left). */
export function nextState([x, xSpeed, angle, angleSpeed]: CartPoleState, action: number): CartPoleState {
  const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
  const push = ((action === 1 ? FORCE : -FORCE) + POLE_MASS * HALF_LENGTH * angleSpeed ** 2 * sin) / TOTAL_MASS;
  const turn = (GRAVITY * sin - cos * push) / (HALF_LENGTH * (4 / 3 - (POLE_MASS * cos ** 2) / TOTAL_MASS));
  const pull = push - (POLE_MASS * HALF_LENGTH * turn * cos) / TOTAL_MASS;
  return [x + STEP_SECONDS * xSpeed, xSpeed + STEP_SECONDS * pull, angle + STEP_SECONDS * angleSpeed, angleSpeed + STEP_SECONDS * turn];
}

/** Whether the pole has fallen or the cart has left the rail. */
export function hasFailed([x, , angle]: CartPoleState): boolean {
  return Math.abs(x) > POSITION_MAX || Math.abs(angle) > ANGLE_MAX;
}

/** What one step was like. */
export interface CartPoleStep {
  /** The state it led to, before a new episode began. */
  readonly next: CartPoleState;
  readonly failed: boolean;
  /** Steps of the episode that this one ended; null when it goes on. Each step is worth 1. */
  readonly episodeReturn: number | null;
}

/** One episode after the other. */
export class CartPole {
  readonly #chance: () => number;
  #state: CartPoleState;
  #steps = 0;

  /** `chance` gives numbers from 0 to 1. */
  constructor(chance: () => number) {
    this.#chance = chance;
    this.#state = this.#begin();
  }

  /** What the policy sees. */
  get state(): CartPoleState {
    return this.#state;
  }

  /** Pushes the cart; begins a new episode when this one ends. */
  step(action: number): CartPoleStep {
    const next = nextState(this.#state, action);
    this.#steps += 1;
    const failed = hasFailed(next);
    const episodeReturn = failed || this.#steps === EPISODE_STEPS_MAX ? this.#steps : null;
    this.#state = next;
    if (episodeReturn !== null) {
      this.#state = this.#begin();
      this.#steps = 0;
    }
    return { next, failed, episodeReturn };
  }

  #begin(): CartPoleState {
    const small = () => this.#chance() * 0.1 - 0.05;
    return [small(), small(), small(), small()];
  }
}
