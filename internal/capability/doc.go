// Package capability is what accelerators can do, as values: profiles, how a
// device is recognised as one of them, and which profiles satisfy a demand.
//
//	Classify   device facts, DRA, labels  ->  the class of each device
//	Summarize  readings of devices        ->  what a class delivers, and who falls short
//	Select     a demand                   ->  classes, best fit first
//
// A figure without a source is absent. An absent figure satisfies no minimum
// and is called unknown in the refusal; it is never guessed from another one.
//
// The package holds no client, clock or logger and has no shipped figures:
// profiles are data that the caller brings.
package capability
