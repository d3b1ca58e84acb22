/** Errors of safetensors files, with the names of the reference implementation. */
import { FormatError } from "../errors/checkpoint-error.ts";

/** Names of `SafeTensorError` in `safetensors/src/tensor.rs` that a reader can meet. */
export type SafetensorsVariant =
  | "HeaderTooSmall"
  | "HeaderTooLarge"
  | "InvalidHeaderLength"
  | "InvalidHeader"
  | "InvalidHeaderDeserialization"
  | "InvalidOffset"
  | "TensorInvalidInfo"
  | "MetadataIncompleteBuffer"
  | "ValidationOverflow"
  | "MisalignedSlice";

/** Where and what a broken rule is. `offset` counts bytes from the start of the file. */
export interface SafetensorsFault {
  readonly file: string;
  readonly variant: SafetensorsVariant;
  readonly problem: string;
  readonly offset: number;
  readonly key?: string;
  readonly remedy?: string;
}

/** Refuses the file. @throws {FormatError} RANKCAST_SAFETENSORS_HEADER, always. */
export function failSafetensors(fault: SafetensorsFault): never {
  throw new FormatError("RANKCAST_SAFETENSORS_HEADER", `${fault.file}: ${fault.problem}, at byte ${fault.offset}`, {
    details: { file: fault.file, variant: fault.variant, offset: fault.offset, ...(fault.key === undefined ? {} : { key: fault.key }) },
    ...(fault.remedy === undefined ? {} : { remedy: fault.remedy }),
  });
}
