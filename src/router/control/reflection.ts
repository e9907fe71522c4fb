import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { AdapterServiceDefinition, DirectServiceDefinition, FleetServiceDefinition, InferenceServiceDefinition } from "@polygraft/api";
import { ServerReflection } from "nice-grpc-server-reflection";

const { resolve } = createRequire(import.meta.url);

/** The reflection service, with which tools such as grpcurl learn the contract from the server. */
export async function reflection(): Promise<ReturnType<typeof ServerReflection>> {
  const image = await readFile(resolve("@polygraft/api/polygraft.binpb"));
  return ServerReflection(image, [
    InferenceServiceDefinition.fullName,
    AdapterServiceDefinition.fullName,
    FleetServiceDefinition.fullName,
    DirectServiceDefinition.fullName,
  ]);
}
