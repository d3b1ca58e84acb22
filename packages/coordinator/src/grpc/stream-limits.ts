/** Bounds of every gRPC stream of a coordinator. */
import { ServerInterceptingCall, type ServerInterceptingCallInterface, type ServerMethodDefinition, status } from "@grpc/grpc-js";

/** A manifest of a million tensors is about 200 MB. */
export const MESSAGE_BYTES_MAX = 512 * 2 ** 20;

/**
 * Refuses compressed requests: nobody in a job sends any, and a small one could unfold to anything. grpc-js takes the header away before
 * interceptors see the metadata; what it keeps of it is a field of the call that TypeScript calls private. A test fails when it goes.
 */
export function refuseCompression(
  _method: ServerMethodDefinition<unknown, unknown>,
  call: ServerInterceptingCallInterface,
): ServerInterceptingCall {
  const { incomingEncoding } = call as unknown as { readonly incomingEncoding?: string };
  return new ServerInterceptingCall(call, {
    start: (next) => {
      if (incomingEncoding === "identity") next();
      else call.sendStatus({ code: status.UNIMPLEMENTED, details: "compressed messages are not taken" });
    },
  });
}
