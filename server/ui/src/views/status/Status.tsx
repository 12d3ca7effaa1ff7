import { Empty } from "../../shared/states";

export default function Status() {
	return <Empty title="Status" />;
}
