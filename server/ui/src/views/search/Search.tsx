import { Empty } from "../../shared/states";

export default function Search() {
	return <Empty title="Search" />;
}
