import { oneOf, path, yesNo } from '../schema.js';
import { keysOf } from './key.js';

const key = keysOf('Tailscale and operator');

/** Ways in for operators beside SSH: tailnet, watched screens, consoles. */
export const OPERATOR_KEYS = {
  TAILSCALE: key(
    'off',
    oneOf('off', 'host', 'subnet', 'jail'),
    '"off", "host" (the host has the tailnet identity), "subnet" (it also advertises AGENT_NET)',
    'or "jail" (each jail is a node of its own).',
  ),
  TAILSCALE_AUTHKEY_FILE: key(
    '',
    path,
    'File with the auth key for the first "tailscale up" (relative to this file). The image then holds a secret.',
  ),
  GLASSPANE: key(
    'no',
    yesNo,
    'Whether operators may watch a browser over VNC (port 5900), over the tailnet only, and terminals over SSH',
    '(clawdie-glasspane). Needs TAILSCALE="host" or "subnet".',
  ),
  CONSOLE: key(
    'both',
    oneOf('serial', 'video', 'both'),
    'Consoles that offer a login: "serial" (the first serial line, 115200), "video" or "both".',
    'Messages of the boot go to both.',
  ),
};
