package chaos

import (
	"errors"
	"os"
)

// ReportFile is where a report goes. What was there before stays until there is a new one.
type ReportFile struct {
	*os.File
	made bool // it was not there before
}

// OpenReport makes sure that the file can be written, and changes nothing in it.
func OpenReport(name string) (*ReportFile, error) {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if !errors.Is(err, os.ErrExist) {
		return &ReportFile{f, true}, err
	}
	f, err = os.OpenFile(name, os.O_WRONLY, 0)
	return &ReportFile{f, false}, err
}

// Replace replaces what is in the file by a report, and closes it.
func (f *ReportFile) Replace(report func(*os.File) error) error {
	f.made = false // from here on it stays
	if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
		if err := f.Truncate(0); err != nil {
			return err
		}
	}
	return errors.Join(report(f.File), f.File.Close())
}

// Close removes what nothing was written to.
func (f *ReportFile) Close() {
	_ = f.File.Close() // if it was written to it is closed already
	if f.made {
		_ = os.Remove(f.Name()) // it is empty
	}
}
