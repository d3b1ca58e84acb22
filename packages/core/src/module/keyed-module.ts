/** Modules whose names come from elsewhere: a checkpoint, or the model of another library. */
import { Module } from "./module.ts";

/** Modules nested deeper than this keep the rest of their keys as one dotted name: no real model is, and each level costs memory. */
const DEPTH_MAX = 64;

/** A module that is filled by dotted keys. Names may be anything, so nothing is refused and keys stay what they are. */
export class KeyedModule extends Module {
  #extraState: unknown;
  readonly #passedOver = new Set<string>();

  constructor(typeName = "Module") {
    super({ typeName, version: null });
  }

  protected override checkName(): void {}

  override get passedOver(): ReadonlySet<string> {
    return this.#passedOver;
  }

  /** Lets a checkpoint have an entry of this name that is no tensor. */
  passOver(name: string): void {
    this.#passedOver.add(name);
  }

  /** Makes the module one that saves and takes extra state. */
  holdExtraState(state: unknown): void {
    this.#extraState = state;
    this.getExtraState = () => this.#extraState;
    this.setExtraState = (next) => {
      this.#extraState = next;
    };
  }

  /** The module that the entry of a full key belongs to, made on the way, and the entry's name there. */
  ownerOf(key: string): [owner: KeyedModule, name: string] {
    let owner: KeyedModule = this;
    let at = 0;
    for (let dot = key.indexOf("."), depth = 0; dot >= 0 && depth < DEPTH_MAX; dot = key.indexOf(".", at), depth += 1) {
      // An empty component would make a path that cannot be told from its parent's.
      if (dot === at) break;
      owner = childOf(owner, key.slice(at, dot));
      at = dot + 1;
    }
    return [owner, key.slice(at)];
  }
}

function childOf(owner: KeyedModule, name: string): KeyedModule {
  const known = owner.ownChildren.get(name);
  if (known instanceof KeyedModule) return known;
  const child = new KeyedModule();
  owner.registerModule(name, child);
  return child;
}
