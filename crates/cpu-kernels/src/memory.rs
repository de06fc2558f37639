//! Memory for results.

#![allow(unsafe_code)]

/// `len` elements of unspecified value, for a result that a kernel writes whole. Zeros would cost a
/// pass over the memory.
#[must_use]
pub fn buffer(len: usize) -> Vec<f32> {
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    {
        let mut values: Vec<f32> = Vec::with_capacity(len);
        // SAFETY: the vector has room for `len` elements. The assembly is opaque, and is given the
        // address, so that for the compiler it stands for code which has written all of them; every
        // pattern of bits is an `f32`. The memory was just handed out, so nobody else changes it.
        unsafe {
            std::arch::asm!(
                "/* {0} */",
                in(reg) values.as_mut_ptr(),
                options(nostack, preserves_flags)
            );
            values.set_len(len);
        }
        values
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    vec![0.0; len]
}
