#pragma once

/// CRC32C (Castagnoli, polynomial 0x1edc6f41, reflected), as in iSCSI: the
/// checksum of frames and of blocks on disk.

#include <cstddef>
#include <cstdint>
#include <span>

namespace troupe {

/// Continues `crc`, the checksum of the bytes before; 0 begins. By the CPU's
/// instruction where it has one, else by a table.
uint32_t crc32c(std::span<const std::byte> bytes, uint32_t crc = 0);

/// The table alone; the instruction is tested against it.
uint32_t crc32c_by_table(std::span<const std::byte> bytes, uint32_t crc = 0);

/// Whether crc32c uses an instruction of this CPU.
bool crc32c_has_instruction();

} // namespace troupe
