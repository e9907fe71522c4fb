/** Linear layers that adapters can change, in the order of the C ABI's masks and arrays. */
export const PROJECTIONS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"] as const;
