// Property tests draw the same examples in every run: a red test is then about the change, not about luck.
import fc from "fast-check";

fc.configureGlobal({ ...fc.readConfigureGlobal(), seed: 20_241_124 });
