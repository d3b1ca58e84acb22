/** The receiving end of `pack-value.ts`: puts back what the stand-ins stand for. */
import { StateDict, Storage, Tensor } from "@rankcast/core";
import { fromErrorRecord } from "@rankcast/core/runtime";
import type { PackedStorage, PackedTensor } from "./pack-tensors.ts";
import type { PackedValue, StandIn } from "./pack-value.ts";

/** The value that was packed. Owns what it is given: containers are completed in place. */
export function unpackValue({ value, standIns }: PackedValue): unknown {
  if (standIns.length === 0) return value;
  const storages = new Map<PackedStorage, Storage>();
  const found = new Map<unknown, unknown>(standIns.map((each) => [each.holder, build(each, storages)]));
  const put = (each: unknown): unknown => (found.has(each) ? found.get(each) : each);
  const pending: unknown[] = [value];
  for (const standIn of standIns) {
    if (standIn.kind === "error") {
      fillError(found.get(standIn.holder) as Error, standIn.fields, put);
      pending.push(...standIn.fields.values());
    }
    if (standIn.kind !== "state-dict") continue;
    fillStateDict(found.get(standIn.holder) as StateDict, standIn, put);
    pending.push(...standIn.entries.values(), ...standIn.beside);
  }
  completeContainers(pending, put);
  return put(value);
}

function completeContainers(pending: unknown[], put: (value: unknown) => unknown): void {
  const seen = new Set<unknown>();
  while (pending.length > 0) {
    const container = pending.pop();
    if (typeof container !== "object" || container === null || seen.has(container) || ArrayBuffer.isView(container)) continue;
    seen.add(container);
    pending.push(...childrenOf(container));
    completeContainer(container, put);
  }
}

function childrenOf(container: object): unknown[] {
  if (container instanceof Map) return [...container].flat();
  return container instanceof Set ? [...container] : Object.values(container);
}

function completeContainer(container: object, put: (value: unknown) => unknown): void {
  if (container instanceof Map) {
    const entries = [...container];
    container.clear();
    for (const [key, value] of entries) container.set(put(key), put(value));
  } else if (container instanceof Set) {
    const values = [...container];
    container.clear();
    for (const value of values) container.add(put(value));
  } else {
    for (const [key, value] of Object.entries(container)) {
      const real = put(value);
      if (real !== value) (container as Record<string, unknown>)[key] = real;
    }
  }
}

function build(standIn: StandIn, storages: Map<PackedStorage, Storage>): unknown {
  switch (standIn.kind) {
    case "tensor":
      return buildTensor(standIn.tensor, storages);
    case "state-dict":
      return new StateDict();
    case "error":
      return fromErrorRecord(standIn.error);
    case "symbol":
      return standIn.key === null ? Symbol(standIn.description ?? undefined) : Symbol.for(standIn.key);
  }
}

function buildTensor({ dtype, shape, stride, storageOffset, flags, storage }: PackedTensor, storages: Map<PackedStorage, Storage>): Tensor {
  const own = storages.get(storage) ?? new Storage(storage.buffer, storage.byteOffset, storage.nbytes);
  storages.set(storage, own);
  return new Tensor({ dtype, shape, stride, storageOffset, storage: own, ...flags });
}

/** As the language has them: only an error's own fields are seen by those who list them. */
function fillError(error: Error, fields: ReadonlyMap<string, unknown>, put: (value: unknown) => unknown): void {
  for (const [name, value] of fields) {
    const enumerable = name !== "cause" && name !== "errors";
    // Defined, not assigned: a field called __proto__ must stay a field.
    Object.defineProperty(error, name, { value: put(value), enumerable, configurable: true, writable: true });
  }
}

function fillStateDict(
  stateDict: StateDict,
  { entries, beside: [metadata, extraState] }: StandIn & { readonly kind: "state-dict" },
  put: (value: unknown) => unknown,
): void {
  for (const [name, tensor] of entries) stateDict.set(name as string, put(tensor) as Tensor);
  stateDict.metadata = metadata as StateDict["metadata"];
  stateDict.extraState = extraState as StateDict["extraState"];
}
