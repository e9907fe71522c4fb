import { createChannel, createClient } from "nice-grpc";
import { ServerReflectionService } from "nice-grpc-server-reflection";
import reflection from "nice-grpc-server-reflection/lib/proto/grpc/reflection/v1/reflection_pb.js";
import type {
  ServerReflectionRequest,
  ServerReflectionResponse,
} from "nice-grpc-server-reflection/lib/proto/grpc/reflection/v1/reflection_pb.js";

/** Asks a server what it serves, as grpcurl does. */
export interface ReflectionClient extends Disposable {
  services(): Promise<string[]>;
  /** Serialized descriptors of the file that declares a symbol. */
  filesContaining(symbol: string): Promise<Uint8Array[]>;
}

/** A reflection client of the server at that address. */
export function reflectionClient(address: string): ReflectionClient {
  const channel = createChannel(address);
  const client = createClient(ServerReflectionService, channel);
  const ask = async (request: ServerReflectionRequest): Promise<ServerReflectionResponse> => {
    async function* requests() {
      yield request;
    }
    for await (const response of client.serverReflectionInfo(requests())) {
      const error = response.getErrorResponse();
      if (error !== undefined) throw new Error(error.getErrorMessage());
      return response;
    }
    throw new Error("no answer");
  };
  return {
    async services() {
      const response = await ask(new reflection.ServerReflectionRequest().setListServices(""));
      return response.getListServicesResponse()?.getServiceList().map((service) => service.getName()) ?? [];
    },
    async filesContaining(symbol) {
      const response = await ask(new reflection.ServerReflectionRequest().setFileContainingSymbol(symbol));
      return response.getFileDescriptorResponse()?.getFileDescriptorProtoList_asU8() ?? [];
    },
    [Symbol.dispose]: () => channel.close(),
  };
}
