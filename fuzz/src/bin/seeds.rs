//! Writes what the fuzzer begins with, made from the fixtures: `seeds FOLDER` fills `FOLDER/<target>/seeds`.

use std::fs;
use std::io::{Error, Result};
use std::path::Path;

use readhook_fuzz::Target;
use readhook_fuzz::seed::seeds;

fn main() -> Result<()> {
    let folder = std::env::args_os().nth(1).ok_or(Error::other("where to? give a folder"))?;
    for target in Target::ALL {
        let folder = Path::new(&folder).join(target.name()).join("seeds");
        fs::create_dir_all(&folder)?;
        for seed in seeds(target)? {
            let (signed, strict) = (seed.input.signed(false), seed.input.signed(true));
            fs::write(folder.join(&seed.case), seed.input.to_bytes())?;
            fs::write(folder.join(format!("{}.signed", seed.case)), signed.to_bytes())?;
            fs::write(folder.join(format!("{}.strict", seed.case)), strict.to_bytes())?;
        }
    }
    Ok(())
}
