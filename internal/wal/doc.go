// Package wal is the write-ahead log of a node: one log for all replicated
// groups, on one disk, with one fdatasync for everyone who waits. The entries
// stay in it; there is no second store that they are copied to, and readers
// read from the log.
//
// # Parts
//
//   - Log.Append takes an Update of one group: entries, hard state, base (the
//     point before which entries are no longer needed), snapshot. A Waiter is
//     told when it is on disk. The writer (writer.go) gathers what comes
//     meanwhile into one write and one sync.
//   - The log is a chain of segments: files of equal length, made in advance and
//     used again (prepare.go). Each use has a number, the epoch, which every
//     record carries, so that old bytes never pass for new.
//   - The index (group.go) is 4 bytes per entry, in memory. Log.Read reads
//     ranges by it and verifies each checksum.
//   - The reclaimer (reclaim.go, cold.go) frees the oldest segments. What a slow
//     group still needs of them moves to cold segments, so that it holds its own
//     size on disk and not what others wrote at the same time.
//   - Recovery (recover.go, open.go) reads everything, verifies everything, cuts
//     an interrupted write off and refuses any other damage with the file and
//     the offset. Check does the same without writing.
//
// docs/format-wal.md draws the bytes.
//
// # Crash safety, by kind of write
//
// The disk is assumed to keep what a successful sync covered, and to do with
// the rest as it likes: keep it, lose it, in any order, torn anywhere.
//
// Batch. A batch is written behind the last one, which is on disk. If it is cut
// off, the first record that is missing or torn fails its checksum, and the rest
// of the batch is dropped, whether or not it is there: nobody was told of it. If
// a later batch is found behind a bad record, the bad one had been synced, and
// that is corruption (scan.go). Recovery never appends to a segment that was
// written before it: what stands behind the cut could follow seamlessly on a
// new record.
//
// End of a segment. The End record and everything before it is synced before
// the first write to the next segment, so in a segment that has a successor
// every bad record is corruption. End names the successor's epoch, and the
// header of the successor names its predecessor: a lost file is noticed.
//
// Header. It is written and synced before the segment is used, into the slot
// that does not hold the present one: an interrupted write leaves the previous
// use in place, which is free or still valid.
//
// Snapshot. Its parts come before the record that completes it, and that before
// the base that relies on it. An incomplete one is ignored.
//
// Base and reset. One record each; before it the old entries count, after it
// they do not.
//
// Reclaiming. Copies are synced, then the records that only the old segment
// holds are appended again, then a record says that the chain begins one
// segment later, and when that is on disk the old segment is free. Until then
// recovery replays the old segment, and finds copies that say the same. Only
// entries that a synced hard state says are committed become cold ones, as
// these never change; the others are appended again, marked so that a part of
// them replaces nothing.
//
// Removal and reset leave entries behind in cold segments; the record of either
// holds the highest epoch that a cold segment could have then, and what is
// older does not count.
//
// File names. A segment's name means nothing; creation and removal are followed
// by a sync of the directory before anything relies on them. FORMAT is made last:
// a directory that has it and no segment has lost them.
//
// crash_test.go cuts the power at every write, sync and directory change of
// random workloads and compares what is found with a model, and so do planted
// bugs prove that it would notice.
//
// # Errors
//
// A failed write or sync stops the log for good: the kernel may have dropped the
// pages, so that trying again would succeed and mean nothing. Reading goes on. A
// full disk is not an error: Full says so before it happens (Options.Reserve),
// entries wait while there is no room, and what makes room still goes through.
package wal
