/** Seeds and the inputs made of them. An input is a function of the seeds, the run's seed and its index, and of nothing else. */
import { type FuzzRandom, FuzzRandom as Random } from "./fuzz-random.ts";
import { type FileModel, type Material, modelOf, mutateFile } from "./mutate-file.ts";
import { readTokens } from "./pickle-tokens.ts";
import { readZipModel } from "./zip-model.ts";

/** A checkpoint of one or more files. `entry` is empty when the formats must find it among them. */
export interface FuzzFiles {
  readonly entry: string;
  readonly files: ReadonlyMap<string, Uint8Array>;
}

/** What inputs are made from. */
export interface FuzzSeed extends FuzzFiles {
  readonly name: string;
  readonly reader: string;
}

/** One input. */
export interface FuzzInput extends FuzzFiles {
  readonly reader: string;
  /** Name of the seed it was made from. */
  readonly seed: string;
}

/** How many of 100 inputs go to a reader; the rest is shared alike. */
const SHARES: ReadonlyMap<string, number> = new Map([
  ["torch-zip", 24],
  ["pickle", 16],
  ["safetensors", 10],
  ["torch-legacy", 8],
  ["manifest", 6],
  ["json", 6],
]);
const SHARE_OF_OTHERS = 4;

/** Makes inputs. Building it reads every seed once; making an input is cheap. */
export class InputMaker {
  readonly #byReader = new Map<string, FuzzSeed[]>();
  readonly #tickets: string[] = [];
  readonly #models = new Map<Uint8Array, FileModel>();
  readonly #opcodes: readonly Uint8Array[];
  readonly #runSeed: number;

  constructor(seeds: readonly FuzzSeed[], runSeed: number, reader?: string) {
    this.#runSeed = runSeed;
    for (const seed of seeds) {
      if (reader !== undefined && seed.reader !== reader) continue;
      const group = this.#byReader.get(seed.reader);
      if (group) group.push(seed);
      else this.#byReader.set(seed.reader, [seed]);
    }
    for (const name of this.#byReader.keys()) {
      for (let ticket = SHARES.get(name) ?? SHARE_OF_OTHERS; ticket > 0; ticket -= 1) this.#tickets.push(name);
    }
    this.#opcodes = opcodesOf(seeds);
  }

  /** Names of the readers that inputs are made for. */
  get readers(): readonly string[] {
    return [...this.#byReader.keys()];
  }

  /** Input `index` of the run. */
  make(index: number): FuzzInput {
    const random = new Random(this.#runSeed, index);
    const seeds = this.#byReader.get(random.pick(this.#tickets)) ?? [];
    const seed = random.pick(seeds);
    const material: Material = { opcodes: this.#opcodes, other: firstFile(random.pick(seeds)) };
    return { reader: seed.reader, seed: seed.name, entry: seed.entry, files: this.#mutate(seed, random, material) };
  }

  #mutate(seed: FuzzSeed, random: FuzzRandom, material: Material): ReadonlyMap<string, Uint8Array> {
    const names = [...seed.files.keys()];
    const changed = new Map(seed.files);
    // Parts matter less than the file that joins them.
    const name = names.length > 1 && random.oneIn(3) ? random.pick(names) : (names.find((each) => each === seed.entry) ?? names[0] ?? "");
    const bytes = seed.files.get(name) ?? new Uint8Array();
    if (names.length > 1 && random.oneIn(24)) changed.delete(random.pick(names));
    else changed.set(name, mutateFile(bytes, this.#modelOf(bytes), random, material));
    return changed;
  }

  #modelOf(bytes: Uint8Array): FileModel {
    const known = this.#models.get(bytes);
    if (known) return known;
    const model = modelOf(bytes);
    this.#models.set(bytes, model);
    return model;
  }
}

function firstFile(seed: FuzzSeed): Uint8Array {
  return [...seed.files.values()][0] ?? new Uint8Array();
}

/** Every different opcode with its argument that the seeds' pickles hold: texts, names, numbers that readers know. */
function opcodesOf(seeds: readonly FuzzSeed[]): Uint8Array[] {
  const found = new Map<string, Uint8Array>();
  for (const seed of seeds) {
    for (const bytes of seed.files.values()) {
      const pickled = readZipModel(bytes)?.find(({ name }) => name.endsWith("data.pkl"))?.bytes ?? bytes;
      for (const token of readTokens(pickled, 1).tokens) {
        if (token.length > 1 && token.length < 200) found.set(Buffer.from(token).toString("latin1"), token);
      }
    }
  }
  return [...found.values()];
}
