// Asks for the channel as early as can be. Whoever needs it waits for this same answer, or is told of its failure.

import { channel } from "./shop.js";

channel().catch(() => {});
