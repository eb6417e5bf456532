import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PROJECT } from '../build/commands/configuration.js';
import { exampleText } from '../build/config/example.js';

// Writes build.cfg.example anew from the schema.
writeFileSync(join(PROJECT, 'build.cfg.example'), exampleText());
